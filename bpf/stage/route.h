/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which way a packet goes on: by the host's stack, or straight into the container it is for.
 *
 * A connection goes one way from its first packet to its last, in both directions: half of it would be no connection to
 * the host's own tracking. It is opened on the short way only by an endpoint that sends to the very address of another
 * one of this host; so what the host translates, whose packets are sent to an address of the host's, goes by the stack,
 * and so do its answers. */
#pragma once

/* Whether a connection that `endpoint` opens may go straight to where its first packet goes. */
static __always_inline bool route_may_be_short(struct packet *p, const struct connection *c,
					       const struct endpoint *endpoint, const struct settings *settings)
{
	const struct endpoint *receiver;

	if (!p->receiver_link || c->belongs != BELONGS_TO_KEY || !(settings->flags & SETTING_SHORT_WAY))
		return false;
	receiver = endpoint_find(p->receiver_link);
	/* Only the stack tells a sender that its packets are too large for who gets them. */
	return receiver && receiver != endpoint && receiver->mtu >= endpoint->mtu &&
	       !((endpoint->flags | receiver->flags) & ENDPOINT_BY_STACK);
}

/* Notes what either endpoint says of the way of a packet. Those of whom something waits in the stack are looked at one
 * by one. */
static __always_inline void route_note(struct packet *p, struct connection *c, const struct endpoint *endpoint,
				       const struct settings *settings)
{
	const struct endpoint *receiver = p->is_short ? endpoint_find(p->receiver_link) : NULL;

	p->is_by_stack = endpoint->flags & ENDPOINT_BY_STACK;
	if (receiver) {
		p->is_by_stack |= receiver->flags & ENDPOINT_BY_STACK;
		__builtin_memcpy(p->receiver_mac, receiver->mac, sizeof(p->receiver_mac));
	}
	c->generation = p->is_by_stack ? 0 : settings->generation;
}

/* Sends a packet of a connection on the short way into the other container, whose door it does not pass: what that
 * door says of such a packet, this stage has to say. */
static __always_inline enum verdict route_choose(struct __sk_buff *skb, struct packet *p,
						 const struct settings *settings)
{
	__u8 macs[12];

	if (!p->is_short || p->is_by_stack || !(settings->flags & SETTING_SHORT_WAY))
		return VERDICT_PASS;
	if (!mac_equal(p->destination_mac, p->receiver_mac)) {
		/* It was sent to the gateway, which would now send it. */
		__builtin_memcpy(macs, p->receiver_mac, 6);
		__builtin_memcpy(macs + 6, p->destination_mac, 6);
		if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
			return VERDICT_PASS;
	}
	/* Nobody looks at its addresses again to find out for whom it is. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return VERDICT_REDIRECT;
}

/* Which groups somebody listens to is for routers to hear: the host is the only one on the bridge. To all others of a
 * thousand ports it would go for nothing, several times with each birth. */
static __always_inline bool route_is_for_router(const struct packet *p)
{
	return p->ethertype == ETH_P_IPV6 && p->protocol == IPPROTO_ICMPV6 && p->fragment == FRAGMENT_NONE &&
	       (p->icmp_type == MLD_REPORT || p->icmp_type == MLD_DONE || p->icmp_type == MLD2_REPORT);
}

/* Of what goes by the stack: reports of multicast listeners go to the host alone, all else is held back first, where the
 * endpoint's rate is limited. */
static __always_inline enum verdict route_detour(struct packet *p, const struct endpoint *endpoint,
						 enum verdict verdict)
{
	if (!endpoint || verdict == VERDICT_DROP || verdict == VERDICT_REDIRECT)
		return verdict;
	if (endpoint->bridge && route_is_for_router(p)) {
		p->detour = endpoint->bridge;
		p->detour_flags = BPF_F_INGRESS;
		return VERDICT_BY;
	}
	if (!endpoint->throttle)
		return verdict;
	/* It comes back by the link that it came by, and passes no filter again. */
	p->detour = endpoint->throttle;
	return VERDICT_BY;
}
