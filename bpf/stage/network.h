/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Networks are apart unless both list each other as peers; in an isolated one, so are its endpoints. */
#pragma once

/* Finds the endpoint of this host that has a packet's destination. A connection on the short way knows its other end;
 * one that knows another endpoint than has the address now is past. */
static __always_inline void receiver_find(struct packet *p, struct connection *c)
{
	__u32 other = c->flow ? flow_link(c->flow, !c->own) : 0;
	const struct endpoint *receiver;
	const struct holder *holder;

	if (p->ethertype == ETH_P_ARP)
		return;
	if (p->is_short) {
		receiver = endpoint_find(other);
		if (receiver) {
			p->receiver_link = other;
			p->receiver_network = receiver->network;
			return;
		}
		connection_forget(p, c);
	}
	holder = address_find(&p->destination);
	if (!holder)
		return;
	p->receiver_link = holder->link;
	p->receiver_network = holder->network;
	/* Or what was said before somebody was there to hear it. */
	if (other ? other != holder->link : c->flow && c->flow->state == FLOW_OPENING && c->flow->opener == c->from)
		connection_forget(p, c);
}

/* Drops what is for an endpoint that the sender may not reach, which is of this network and has these flags. What is for
 * nobody here is none of this stage's business. */
static __always_inline enum verdict network_check(struct packet *p, __u32 network, __u32 flags)
{
	if (!p->receiver_link)
		return VERDICT_CONTINUE;
	if (p->receiver_network != network && !peers(network, p->receiver_network))
		return packet_drop(p, REASON_NETWORK);
	if (flags & ENDPOINT_ISOLATED && p->receiver_network == network && p->receiver_link != p->link)
		return packet_drop(p, REASON_ISOLATED);
	return VERDICT_CONTINUE;
}
