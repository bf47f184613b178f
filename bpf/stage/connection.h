/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Connections: what a packet belongs to, and whether it may begin one.
 *
 *   find ── none ──► check: may it open one? ── no ──► dropped
 *    │                    │
 *    └── one ──────────► make: opened, or let through at this door, too, and brought to its next state
 *
 * Whatever else a sender's door looks at is the same for all packets that one end of a connection sends. So it looks at
 * the first one, and at one after each change of what it decides by: the settings' generation tells.
 *
 *   OPENING ─SYN,ACK─► ANSWERED ─ACK─► ESTABLISHED ─FIN─► CLOSING ─FIN─► FINISHED     (TCP, RFC 9293, section 3.3.2)
 *   OPENING ─────────────answer──────► ESTABLISHED                                    (all others)
 */
#pragma once

/* Flags of TCP (RFC 9293, section 3.1). */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
/* Types of ICMP (RFC 792) that are about a packet of another, and those of ICMPv6 (RFC 4443). */
#define ICMP_UNREACHABLE 3
#define ICMP_QUENCH 4
#define ICMP_EXCEEDED 11
#define ICMP_PARAMETER 12
#define ICMPV6_ERROR_LAST 4
/* Multicast listeners and neighbour discovery: between a link's neighbours, of no connection. */
#define ICMPV6_LINK_FIRST 130
#define ICMPV6_LINK_LAST 137
/* Replies of ICMP (RFC 792): timestamp and information; the request is one less. RFC 950: address mask. */
#define ICMP_TIMESTAMP_REPLY 14
#define ICMP_INFORMATION_REPLY 16
#define ICMP_MASK_REPLY 18

enum {
	/* Between neighbours, or to many at once: there are no connections. */
	BELONGS_TO_NONE = 0,
	/* About a packet of one. */
	BELONGS_AS_ERROR = 1,
	/* The middle of a datagram whose beginning, which would say, was not seen. */
	BELONGS_UNKNOWN = 2,
	/* To the one that the key names. */
	BELONGS_TO_KEY = 3,
};

/* What a packet belongs to. */
struct connection {
	/* BELONGS_*. */
	__u8 belongs;
	struct flow_key key;
	/* NULL: to none that is known. */
	struct flow *flow;
	/* In ticks. */
	__u32 now;
	/* The settings' generation by which the packet was let through; 0 if the next one is to be looked at again. */
	__u32 generation;
	/* The settings' generation by which the receiver's policies let it through; 0 if they were not asked. */
	__u32 decided;
	/* Which end sent the packet, and which one this door belongs to: 0 the low one, 1 the high one. */
	__u8 from;
	__u8 own;
};

static __always_inline bool connection_is_error(const struct packet *p)
{
	if (p->fragment == FRAGMENT_LATER)
		return false;
	if (p->protocol == IPPROTO_ICMPV6)
		return p->icmp_type <= ICMPV6_ERROR_LAST;
	return p->protocol == IPPROTO_ICMP &&
	       (p->icmp_type == ICMP_UNREACHABLE || p->icmp_type == ICMP_QUENCH ||
		p->icmp_type == ICMP_REDIRECT_TYPE || p->icmp_type == ICMP_EXCEEDED || p->icmp_type == ICMP_PARAMETER);
}

/* Gives a later fragment its ports, too. */
static __always_inline __u8 connection_kind(struct packet *p)
{
	if (p->ethertype == ETH_P_ARP || address_is_group(&p->destination))
		return BELONGS_TO_NONE;
	if (p->protocol == IPPROTO_ICMPV6 &&
	    ((p->icmp_type >= ICMPV6_LINK_FIRST && p->icmp_type <= ICMPV6_LINK_LAST) || p->icmp_type == MLD2_REPORT))
		return BELONGS_TO_NONE;
	if (connection_is_error(p))
		return BELONGS_AS_ERROR;
	return p->fragment == FRAGMENT_LATER && !fragment_find(p) ? BELONGS_UNKNOWN : BELONGS_TO_KEY;
}

/* Whether a packet may be the first of a connection: an answer, or the middle of something, may not. */
static __always_inline bool connection_may_open(const struct packet *p)
{
	switch (p->protocol) {
	case IPPROTO_TCP:
		return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	case IPPROTO_ICMP:
		return p->fragment != FRAGMENT_LATER && p->icmp_type != ICMP_ECHO_REPLY &&
		       p->icmp_type != ICMP_TIMESTAMP_REPLY && p->icmp_type != ICMP_INFORMATION_REPLY &&
		       p->icmp_type != ICMP_MASK_REPLY;
	case IPPROTO_ICMPV6:
		return p->fragment != FRAGMENT_LATER && p->icmp_type != ICMPV6_ECHO_REPLY_TYPE;
	default:
		return true;
	}
}

static __always_inline bool flow_is_over(const struct flow *flow, __u32 now)
{
	return (__s32)(flow->expires - now) <= 0;
}

/* Whether what is remembered is another connection than the packet's: an older one that is over, or one of the endpoint
 * that had this door's address before. */
static __always_inline bool connection_is_past(const struct packet *p, const struct connection *c,
					       const struct flow *flow, __u32 link)
{
	__u32 own = flow_link(flow, c->own);

	if (flow_is_over(flow, c->now) || (own && own != link))
		return true;
	return flow->state >= FLOW_FINISHED && connection_may_open(p) && p->protocol == IPPROTO_TCP;
}

/* The packet does not belong to what was found. */
static __always_inline void connection_forget(struct packet *p, struct connection *c)
{
	c->flow = NULL;
	p->is_short = false;
}

/* An error is let through if it is about a packet of a connection that this door has let through, and sent to who sent
 * that packet. Not inlined, so that it is verified once. */
__noinline int connection_relate(struct __sk_buff *skb, struct packet *p, enum direction direction)
{
	struct scratch *scratch = scratch_of_cpu();
	struct packet *about;
	const struct flow *flow;
	struct flow_key key = {};
	enum verdict verdict;
	struct iphdr ip;
	__u8 from;

	if (!p)
		return VERDICT_DROP;
	if (!scratch)
		return packet_drop(p, REASON_UNRELATED);
	about = &scratch->about;
	__builtin_memset(about, 0, sizeof(*about));
	about->network_at = p->transport_at + ICMP_BYTES;
	if (p->ethertype == ETH_P_IPV6)
		verdict = parse_ipv6(skb, about, true);
	else if (bpf_skb_load_bytes(skb, about->network_at, &ip, sizeof(ip)))
		return packet_drop(p, REASON_UNRELATED);
	else
		verdict = parse_ipv4(skb, about, &ip, true);
	if (verdict == VERDICT_DROP || (about->fragment == FRAGMENT_LATER && !fragment_find(about)))
		return packet_drop(p, REASON_UNRELATED);
	if (!address_equal(&p->destination, &about->source))
		return packet_drop(p, REASON_UNRELATED);
	from = flow_key_of(about, &key);
	flow = flow_find(&key);
	if (!flow || flow_is_over(flow, flow_now()) || flow_link(flow, direction == DIRECTION_OUT ? !from : from) != p->link)
		return packet_drop(p, REASON_UNRELATED);
	return VERDICT_PASS;
}

/* Names what a packet belongs to; false if it is no connection. */
static __always_inline bool connection_name(struct packet *p, struct connection *c, enum direction direction)
{
	c->belongs = connection_kind(p);
	if (c->belongs != BELONGS_TO_KEY)
		return false;
	c->now = flow_now();
	c->from = flow_key_of(p, &c->key);
	c->own = direction == DIRECTION_OUT ? c->from : !c->from;
	return true;
}

/* Takes what was found by that name for the packet's connection, if it is. */
static __always_inline void connection_take(struct packet *p, struct connection *c, struct flow *flow)
{
	if (connection_is_past(p, c, flow, p->link))
		return;
	c->flow = flow;
	p->is_short = flow->flags & FLOW_IS_SHORT;
}

/* Finds what a packet belongs to, if that is known. */
static __always_inline void connection_find(struct __sk_buff *skb, struct packet *p, struct connection *c,
					    enum direction direction)
{
	struct flow *flow;

	if (!connection_name(p, c, direction))
		return;
	flow = flow_find(&c->key);
	if (flow)
		connection_take(p, c, flow);
}

/* The same at the door of many senders: the connection also says whose the packet would be. */
static __always_inline void connection_find_sender(struct __sk_buff *skb, struct packet *p, struct connection *c)
{
	struct flow *flow;

	if (!connection_name(p, c, DIRECTION_OUT))
		return;
	flow = flow_find(&c->key);
	if (!flow)
		return;
	p->link = flow_link(flow, c->own);
	connection_take(p, c, flow);
}

/* Whether the sender's door has let the like of this packet through, by what is in force: from this end of this
 * connection. If so, the connection says where it goes. What ICMP says is in no packet the same. */
static __always_inline bool connection_is_vouched(struct __sk_buff *skb, struct packet *p, struct connection *c,
						  const struct settings *settings)
{
	const struct flow *flow = c->flow;

	if (!flow || !settings->generation || flow_generation(flow, c->from) != settings->generation)
		return false;
	if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6)
		return false;
	if (flow_link(flow, c->from) != p->link || !mac_equal(p->source_mac, flow_mac(flow, c->from)))
		return false;
	if (p->is_short) {
		p->receiver_link = flow_link(flow, !c->from);
		__builtin_memcpy(p->receiver_mac, flow_mac(flow, !c->from), sizeof(p->receiver_mac));
	}
	c->generation = settings->generation;
	return true;
}

/* Lets pass what needs no connection, and drops what can have none, or belongs to none and may begin none. */
static __always_inline enum verdict connection_check(struct __sk_buff *skb, struct packet *p,
						     const struct connection *c, enum direction direction)
{
	switch (c->belongs) {
	case BELONGS_TO_NONE:
		return VERDICT_CONTINUE;
	case BELONGS_AS_ERROR:
		return connection_relate(skb, p, direction);
	case BELONGS_UNKNOWN:
		return packet_drop(p, REASON_FRAGMENT);
	default:
		return c->flow || connection_may_open(p) ? VERDICT_CONTINUE : packet_drop(p, REASON_NO_CONNECTION);
	}
}

/* The state after a packet. */
static __always_inline __u8 connection_next(const struct packet *p, const struct connection *c, struct flow *flow)
{
	bool answers = c->from != flow->opener;

	if (p->protocol != IPPROTO_TCP)
		return answers ? FLOW_ESTABLISHED : flow->state;
	if (p->fragment == FRAGMENT_LATER || flow->state == FLOW_RESET)
		return flow->state;
	if (p->tcp_flags & TCP_RST)
		return FLOW_RESET;
	if (flow->state == FLOW_OPENING)
		return answers && (p->tcp_flags & TCP_SYN) && (p->tcp_flags & TCP_ACK) ? FLOW_ANSWERED : FLOW_OPENING;
	if (flow->state == FLOW_ANSWERED && (answers || !(p->tcp_flags & TCP_ACK)))
		return FLOW_ANSWERED;
	if (p->tcp_flags & TCP_FIN)
		flow->finished |= c->from ? 2 : 1;
	if (!flow->finished)
		return FLOW_ESTABLISHED;
	return flow->finished == 3 ? FLOW_FINISHED : FLOW_CLOSING;
}

/* Finds out if the socket that opens a connection was led to it by a service. What a socket of another kernel sends has
 * none that could be asked. */
static __always_inline void service_find(struct __sk_buff *skb, struct packet *p, const struct connection *c,
					 const struct settings *settings)
{
	const struct translation *translation;
	__u64 socket;

	if (c->flow || c->belongs != BELONGS_TO_KEY || !(settings->flags & SETTING_SERVICES))
		return;
	socket = bpf_get_socket_cookie(skb);
	translation = socket ? translation_find(socket, &p->destination, p->destination_port) : NULL;
	if (translation)
		p->service = translation->service;
}

/* Notes that a packet passed: opens its connection, or brings it to its next state. To be called for what is let
 * through, and for nothing else. */
static __always_inline void connection_make(struct __sk_buff *skb, struct packet *p, struct connection *c,
					    enum direction direction)
{
	struct flow *flow = c->flow;
	__u32 link = p->link;
	__u8 state, before;
	__u32 expires;

	if (knobs.trial || c->belongs != BELONGS_TO_KEY)
		return;
	if (p->fragment == FRAGMENT_FIRST)
		fragment_note(p);
	if (!flow) {
		struct flow first = {
			.expires = c->now + flow_lifetime(p->protocol, FLOW_OPENING),
			.opener = c->from,
			.service = p->service,
			.flags = (p->is_short ? FLOW_IS_SHORT : 0) | (p->is_hosts ? FLOW_BY_HOST : 0),
		};

		flow_let_through(&first, c->own, link);
		if (p->is_short)
			flow_let_through(&first, !c->own, p->receiver_link);
		if (direction == DIRECTION_OUT)
			flow_vouch(&first, c->from, c->generation, p);
		else
			flow_decide(&first, c->own, c->decided);
		flow_open(&c->key, &first);
		event_tell(skb, p, direction, EVENT_OPENED);
		return;
	}
	p->service = flow->service;
	before = flow->state;
	state = connection_next(p, c, flow);
	expires = c->now + flow_lifetime(p->protocol, state);
	/* Written only when they change: both ends' CPUs read them. */
	if (flow_link(flow, c->own) != link)
		flow_let_through(flow, c->own, link);
	if (flow->expires != expires)
		flow->expires = expires;
	if (direction == DIRECTION_OUT && flow_generation(flow, c->from) != c->generation)
		flow_vouch(flow, c->from, c->generation, p);
	if (direction == DIRECTION_IN && flow_decided(flow, c->own) != c->decided)
		flow_decide(flow, c->own, c->decided);
	if (before == state)
		return;
	flow->state = state;
	if (state == FLOW_ESTABLISHED) {
		flow_confirm(&c->key, flow);
		event_tell(skb, p, direction, EVENT_ESTABLISHED);
	} else if (state >= FLOW_FINISHED) {
		event_tell(skb, p, direction, EVENT_ENDED);
	}
}
