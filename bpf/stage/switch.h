/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The switch of a segment: who sent a frame by a parent, and where it goes. */
#pragma once

/* The endpoint that sent a packet by its parent: whose that is or, where many sit on it, whose address the packet has.
 * NULL if it is none's, and then the packet is told of as the parent's. */
static __always_inline const struct endpoint *segment_sender(struct __sk_buff *skb, struct packet *p,
							     const struct parent *parent)
{
	__u32 link = parent->flags & PARENT_BY_ADDRESS ? segment_find_by_address(skb, p, true) : skb->ifindex;
	const struct endpoint *endpoint = link ? endpoint_find(link) : NULL;

	if (!endpoint || endpoint->parent != skb->ifindex)
		return NULL;
	p->link = link;
	return endpoint;
}

/* Whether a packet may be the endpoint's by where it was sent. Neighbours know each other's addresses, and who may write
 * whole frames (CAP_NET_RAW) may write these; by which link a frame came to a parent that many sit on, it does not say. */
static __always_inline bool segment_is_sent_inside(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	__u32 namespace = endpoint->namespace ? sender_namespace(skb) : 0;

	return !namespace || namespace == endpoint->namespace || knobs.trial;
}

/* What is wrong with a frame of none of the parent's endpoints. */
static __always_inline enum reason segment_unknown(const struct parent *parent)
{
	return parent->flags & PARENT_BY_ADDRESS ? REASON_SOURCE_ADDRESS : REASON_NO_ENDPOINT;
}

/* Whether a frame of an endpoint with these flags is for the neighbours on the segment, too, and given to them here. */
static __always_inline bool segment_floods(const struct packet *p, __u32 flags)
{
	return mac_is_group(p->destination_mac) && !(flags & (ENDPOINT_BY_SWITCH | ENDPOINT_ISOLATED));
}

/* Where a frame goes that an endpoint of this network with these flags sends. Who gets it is asked of the frame itself,
 * also where its connection vouches for it: the same connection may be sent to anybody. Not inlined, so that it is
 * verified once. */
__noinline int segment_choose(struct __sk_buff *skb, struct packet *p, __u32 network, __u32 flags)
{
	const struct parent *parent = parent_find(skb->ifindex);
	const struct endpoint *receiver = NULL;
	__u32 link = 0;

	if (!p)
		return VERDICT_DROP;
	if (!parent)
		return packet_drop(p, REASON_NO_ENDPOINT);
	/* What its frame says of that, who routes does not go by. */
	if (parent->flags & PARENT_ROUTED && address_is_group(&p->destination))
		return packet_drop(p, REASON_GROUP);
	if (!mac_is_group(p->destination_mac))
		link = segment_receiver(skb, p, parent->segment, parent->mac);
	if (link)
		receiver = endpoint_find(link);
	if (receiver && receiver->parent && !(flags & ENDPOINT_BY_SWITCH)) {
		p->receiver_link = link;
		p->receiver_network = receiver->network;
		p->detour = receiver->parent;
		p->detour_flags = segment_is_own(receiver, link) ? 0 : BPF_F_INGRESS;
		skb->tc_index = 0;
		return network_check(p, network, flags) == VERDICT_DROP ? VERDICT_DROP : VERDICT_BY;
	}
	if (!parent->uplink)
		return segment_floods(p, flags) ? VERDICT_HEARD : packet_drop(p, REASON_NO_PARENT);
	p->detour = parent->uplink;
	if (parent->flags & PARENT_ROUTED) {
		/* To whom it goes on the segment is not known yet: it may be for an endpoint there. */
		skb->tc_index = 0;
		if (!host_has(&p->destination))
			return VERDICT_ROUTED;
	} else if (!mac_equal(p->destination_mac, parent->mac)) {
		skb->tc_index = MARK_SWITCHED;
		return VERDICT_BY;
	}
	skb->tc_index = MARK_SWITCHED;
	p->detour_flags = BPF_F_INGRESS;
	return flags & ENDPOINT_WITHOUT_HOST ? packet_drop(p, REASON_HOST) : VERDICT_BY;
}

/* Whether a frame that came by the parent `from` could go straight to the endpoint behind `link`: that one has its parent
 * to itself, or sits on the same one. */
static __always_inline bool segment_is_beside(const struct endpoint *endpoint, __u32 link, __u32 from)
{
	return endpoint->parent == from || segment_is_own(endpoint, link);
}

static __always_inline bool segment_has(__u32 segment, const struct endpoint *endpoint)
{
	const struct parent *parent = parent_find(endpoint->parent);

	return parent && parent->segment == segment;
}

/* What two endpoints of a host are to each other. */
enum {
	/* What the one sends could go straight to the other: that has its parent to itself, or sits on the same one. */
	NEIGHBOUR_BESIDE = 1,
	/* They are on one segment, and no switch outside has a say. */
	NEIGHBOUR_SWITCHED_HERE = 2,
	/* Both have their parents to themselves: a frame need not pass anything between these. */
	NEIGHBOUR_STRAIGHT = 4,
};

/* What the endpoint behind the link `receiver` is to the one behind `sender`, which sent by the parent `from`. Not
 * inlined, so that it is verified once. */
__noinline int segment_neighbour(__u32 sender, __u32 receiver, __u32 from, __u32 segment)
{
	const struct endpoint *a = endpoint_find(sender), *b = endpoint_find(receiver);
	int found = 0;

	if (!a || !b || sender == receiver || !segment_is_beside(b, receiver, from))
		return 0;
	found |= NEIGHBOUR_BESIDE;
	if (a->flags & ENDPOINT_BY_SWITCH)
		return found;
	if (segment_has(segment, b))
		found |= NEIGHBOUR_SWITCHED_HERE;
	if (segment_is_own(a, sender) && segment_is_own(b, receiver))
		found |= NEIGHBOUR_STRAIGHT;
	return found;
}

/* Notes what is to be known of a connection between a segment's two endpoints for both doors to be passed at once. It is
 * opened so by a frame that is sent to the very addresses of the other one, to the IP and the Ethernet one; which way
 * each of its frames goes is its own matter. */
static __always_inline void segment_note(struct __sk_buff *skb, struct packet *p, const struct connection *c,
					 const struct parent *parent)
{
	int neighbour = segment_neighbour(p->link, p->receiver_link, skb->ifindex, parent->segment);
	const struct endpoint *receiver = neighbour & NEIGHBOUR_BESIDE ? endpoint_find(p->receiver_link) : NULL;

	if (!receiver)
		return;
	if (!c->flow)
		p->is_short = c->belongs == BELONGS_TO_KEY && neighbour & NEIGHBOUR_SWITCHED_HERE &&
			      mac_equal(p->destination_mac, receiver->mac);
	__builtin_memcpy(p->receiver_mac, receiver->mac, sizeof(p->receiver_mac));
	p->is_straight = neighbour & NEIGHBOUR_STRAIGHT;
}

/* Whether a frame goes straight into its receiver's link, as its connection says: both ends have theirs to themselves.
 * There is nobody else to ask. */
static __always_inline bool segment_goes_straight(struct __sk_buff *skb, const struct packet *p,
						  const struct connection *c)
{
	return p->is_short && p->link == skb->ifindex && flow_is_straight(c->flow, c->from) &&
	       mac_equal(p->destination_mac, p->receiver_mac);
}

/* Into the link of the endpoint that is its receiver. */
static __always_inline enum verdict segment_send_straight(struct __sk_buff *skb)
{
	/* To the kernel it was for somebody else than the host's end that it came by. */
	bpf_skb_change_type(skb, PACKET_HOST);
	skb->tc_index = 0;
	return VERDICT_REDIRECT;
}

/* Sends a frame of such a connection to the other endpoint, whose door it does not pass, if it is for that one. */
static __always_inline enum verdict segment_choose_short(struct __sk_buff *skb, struct packet *p,
							 const struct endpoint *endpoint)
{
	const struct endpoint *receiver;

	if (!p->is_short || !mac_equal(p->destination_mac, p->receiver_mac) || endpoint->flags & ENDPOINT_BY_SWITCH)
		return VERDICT_CONTINUE;
	receiver = endpoint_find(p->receiver_link);
	if (!receiver || !segment_is_beside(receiver, p->receiver_link, skb->ifindex))
		return VERDICT_CONTINUE;
	if (segment_is_own(receiver, p->receiver_link))
		return segment_send_straight(skb);
	p->detour = skb->ifindex;
	skb->tc_index = MARK_DELIVERED;
	return VERDICT_REDIRECT;
}

/* Gives a frame that is for many to those who hear it besides the one where it goes on. */
static __always_inline void segment_flood(struct __sk_buff *skb, const struct packet *p,
					  const struct endpoint *endpoint, const struct parent *parent)
{
	if (segment_floods(p, endpoint->flags)) {
		stations_hear(skb, parent->segment);
		if (parent->flags & PARENT_BY_ADDRESS)
			bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
		if (parent->sibling)
			bpf_clone_redirect(skb, parent->sibling, BPF_F_INGRESS);
	}
	if (parent->uplink && !(endpoint->flags & ENDPOINT_WITHOUT_HOST))
		bpf_clone_redirect(skb, parent->uplink, BPF_F_INGRESS);
}
