/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Networks are apart unless both list each other as peers. */
#pragma once

/* Drops what is for an endpoint of another network. What is for nobody here is none of this stage's business. */
static __always_inline enum verdict network_check(struct packet *p, const struct endpoint *endpoint)
{
	const struct holder *holder;

	if (p->ethertype == ETH_P_ARP)
		return VERDICT_CONTINUE;
	holder = address_find(&p->destination);
	if (!holder || holder->network == endpoint->network || peers(endpoint->network, holder->network))
		return VERDICT_CONTINUE;
	return packet_drop(p, REASON_NETWORK);
}
