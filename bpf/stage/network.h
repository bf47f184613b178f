/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Networks are apart unless both list each other as peers; in an isolated one, so are its endpoints. */
#pragma once

/* Drops what is for an endpoint that the sender may not reach. What is for nobody here is none of this stage's business. */
static __always_inline enum verdict network_check(struct packet *p, const struct endpoint *endpoint, __u32 link)
{
	const struct holder *holder;

	if (p->ethertype == ETH_P_ARP)
		return VERDICT_CONTINUE;
	holder = p->holder = address_find(&p->destination);
	if (!holder)
		return VERDICT_CONTINUE;
	if (holder->network != endpoint->network)
		return peers(endpoint->network, holder->network) ? VERDICT_CONTINUE : packet_drop(p, REASON_NETWORK);
	if (endpoint->flags & ENDPOINT_ISOLATED && holder->link != link)
		return packet_drop(p, REASON_ISOLATED);
	return VERDICT_CONTINUE;
}
