/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From bytes to one shape for both families. After `packet_parse` nobody asks which family it was to find something. */
#pragma once

/* Extension headers of one packet: more than RFC 8200 has kinds of. */
#define EXTENSIONS_MAX 8
/* Lengths of headers, in bytes. */
#define ICMP_BYTES 8
#define PORTS_BYTES 4
/* Of TCP's, up to its flags. */
#define TCP_HEAD_BYTES 14
/* Types of ICMP (RFC 792) and ICMPv6 (RFC 4443). */
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO_REPLY_TYPE 129
#define ICMPV6_ECHO_REQUEST_TYPE 128

enum {
	FRAGMENT_NONE = 0,
	/* It has the transport's header. */
	FRAGMENT_FIRST = 1,
	FRAGMENT_LATER = 2,
};

struct packet {
	/* Number of the link at whose door it is: by this the programs know endpoints. */
	__u32 link;
	/* Host byte order. */
	__u16 ethertype;
	/* Of the transport: IPPROTO_*. */
	__u8 protocol;
	/* FRAGMENT_*. */
	__u8 fragment;
	/* Of ICMP and ICMPv6 only. */
	__u8 icmp_type;
	/* TCP_*, of TCP only. */
	__u8 tcp_flags;
	/* Its connection goes past the host's stack. */
	bool is_short;
	/* It goes by the stack all the same: something waits for it there. Set by `route_note`. */
	bool is_by_stack;
	/* Not 0: the like of it goes straight into its receiver's link, if its connection is short. Set by `segment_note`. */
	__u8 is_straight;
	/* Offsets in the frame, in bytes. */
	__u16 network_at;
	__u16 transport_at;
	struct address source;
	struct address destination;
	/* Of fragments: the same in all of one datagram. */
	__u32 identification;
	/* Host byte order; of an ICMP echo, its identifier, twice. Zero where there are none. */
	__u16 source_port;
	__u16 destination_port;
	__u8 source_mac[6];
	__u8 destination_mac[6];
	/* The endpoint of this host that has the destination: number of its link and of its network; 0 if there is none.
	 * Set by `receiver_find`. */
	__u32 receiver_link;
	__u32 receiver_network;
	/* Its Ethernet address, on the short way. */
	__u8 receiver_mac[6];
	/* Number of the link by which it goes on, where that is not for the stack to say: out by it, or with
	 * BPF_F_INGRESS as if it had come in by it. Set by `route_detour`, `segment_choose` and `segment_choose_short`. */
	__u32 detour;
	__u32 detour_flags;
	/* The host's stack sends it, and nobody it forwards for. */
	bool is_hosts;
	/* Set by whoever drops it. */
	enum reason reason;
	/* The rule of a policy by which that is. */
	__u32 rule;
	/* Number of the service's port by which its connection was led here; 0 if by none. Set by `service_find`. */
	__u32 service;
};

/* The one way in which a stage ends the walk. */
static __always_inline enum verdict packet_drop(struct packet *p, enum reason reason)
{
	p->reason = reason;
	return VERDICT_DROP;
}

/* Ethernet addresses are at even places everywhere. */
static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const void *)a, *y = (const void *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline enum verdict parse_icmp(struct __sk_buff *skb, struct packet *p, __u8 request, __u8 reply)
{
	struct {
		__u8 type;
		__u8 code;
		__be16 checksum;
		__be16 identifier;
	} icmp;

	if (bpf_skb_load_bytes(skb, p->transport_at, &icmp, sizeof(icmp)))
		return packet_drop(p, REASON_MALFORMED);
	p->icmp_type = icmp.type;
	if (icmp.type == request || icmp.type == reply)
		p->source_port = p->destination_port = bpf_ntohs(icmp.identifier);
	return VERDICT_CONTINUE;
}

/* `is_quoted`: by an ICMP error, which need not have more of it than its first 8 bytes (RFC 792). */
static __always_inline enum verdict parse_transport(struct __sk_buff *skb, struct packet *p, bool is_quoted)
{
	struct {
		__be16 source;
		__be16 destination;
		__be32 sequence;
		__be32 acknowledgement;
		__u8 data_offset;
		__u8 flags;
	} head;

	if (p->fragment == FRAGMENT_LATER)
		return VERDICT_CONTINUE;
	switch (p->protocol) {
	case IPPROTO_TCP:
		if (!is_quoted) {
			if (bpf_skb_load_bytes(skb, p->transport_at, &head, TCP_HEAD_BYTES))
				return packet_drop(p, REASON_MALFORMED);
			p->tcp_flags = head.flags;
			break;
		}
		/* fall through */
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		if (bpf_skb_load_bytes(skb, p->transport_at, &head, PORTS_BYTES))
			return packet_drop(p, REASON_MALFORMED);
		break;
	case IPPROTO_ICMP:
		return parse_icmp(skb, p, ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY);
	case IPPROTO_ICMPV6:
		return parse_icmp(skb, p, ICMPV6_ECHO_REQUEST_TYPE, ICMPV6_ECHO_REPLY_TYPE);
	default:
		return VERDICT_CONTINUE;
	}
	p->source_port = bpf_ntohs(head.source);
	p->destination_port = bpf_ntohs(head.destination);
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict parse_ipv4(struct __sk_buff *skb, struct packet *p, const struct iphdr *ip,
					       bool is_quoted)
{
	__u16 offset = bpf_ntohs(ip->frag_off);

	if (ip->version != 4 || ip->ihl < 5 || bpf_ntohs(ip->tot_len) < ip->ihl * 4)
		return packet_drop(p, REASON_MALFORMED);
	if (offset & 0x1fff)
		p->fragment = FRAGMENT_LATER;
	else if (offset & 0x2000)
		p->fragment = FRAGMENT_FIRST;
	p->identification = ip->id;
	p->protocol = ip->protocol;
	p->transport_at = p->network_at + ip->ihl * 4;
	address_of_ipv4(&p->source, ip->saddr);
	address_of_ipv4(&p->destination, ip->daddr);
	return parse_transport(skb, p, is_quoted);
}

/* Walks the extension headers (RFC 8200, section 4) to the transport's. */
static __always_inline enum verdict parse_extensions(struct __sk_buff *skb, struct packet *p, __u8 next, bool is_quoted)
{
	struct {
		__u8 next;
		__u8 length;
		__be16 fragment;
		__be32 identification;
	} head;

#pragma clang loop unroll(disable)
	for (int n = 0; n < EXTENSIONS_MAX; n++) {
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		default:
			p->protocol = next;
			return parse_transport(skb, p, is_quoted);
		}
		if (bpf_skb_load_bytes(skb, p->transport_at, &head, sizeof(head)))
			return packet_drop(p, REASON_MALFORMED);
		if (next == IPPROTO_FRAGMENT) {
			p->identification = head.identification;
			if (bpf_ntohs(head.fragment) & 0xfff8) {
				/* What follows is the middle of something. */
				p->fragment = FRAGMENT_LATER;
				p->protocol = head.next;
				p->transport_at += 8;
				return VERDICT_CONTINUE;
			}
			if (head.fragment & bpf_htons(1))
				p->fragment = FRAGMENT_FIRST;
			p->transport_at += 8;
		} else if (next == IPPROTO_AH) {
			p->transport_at += (head.length + 2) * 4;
		} else {
			p->transport_at += (head.length + 1) * 8;
		}
		next = head.next;
	}
	return packet_drop(p, REASON_MALFORMED);
}

static __always_inline enum verdict parse_ipv6(struct __sk_buff *skb, struct packet *p, bool is_quoted)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, p->network_at, &ip, sizeof(ip)))
		return packet_drop(p, REASON_MALFORMED);
	if (ip.version != 6)
		return packet_drop(p, REASON_MALFORMED);
	__builtin_memcpy(&p->source, &ip.saddr, sizeof(p->source));
	__builtin_memcpy(&p->destination, &ip.daddr, sizeof(p->destination));
	if (address_is_ipv4(&p->source) || address_is_ipv4(&p->destination))
		return packet_drop(p, REASON_BOGUS_ADDRESS);
	p->transport_at = p->network_at + sizeof(ip);
	return parse_extensions(skb, p, ip.nexthdr, is_quoted);
}

/* Reads the headers of an Ethernet frame. Not inlined, so that it is verified once. */
__noinline int packet_parse(struct __sk_buff *skb, struct packet *p)
{
	/* Read at once, since each call takes longer than what it reads; behind two bytes, which align the rest. */
	struct {
		__u16 pad;
		__u8 destination_mac[6];
		__u8 source_mac[6];
		__be16 ethertype;
		struct iphdr ip;
	} head = {};

	if (!p)
		return VERDICT_DROP;
	if (bpf_skb_load_bytes(skb, 0, head.destination_mac, ETH_HLEN + sizeof(head.ip)) &&
	    bpf_skb_load_bytes(skb, 0, head.destination_mac, ETH_HLEN))
		return packet_drop(p, REASON_MALFORMED);
	__builtin_memcpy(p->source_mac, head.source_mac, sizeof(p->source_mac));
	__builtin_memcpy(p->destination_mac, head.destination_mac, sizeof(p->destination_mac));
	p->network_at = ETH_HLEN;
	p->ethertype = bpf_ntohs(head.ethertype);
	if (skb->vlan_present)
		return packet_drop(p, REASON_ETHERTYPE);
	switch (p->ethertype) {
	case ETH_P_ARP:
		return VERDICT_CONTINUE;
	case ETH_P_IP:
		return parse_ipv4(skb, p, &head.ip, false);
	case ETH_P_IPV6:
		return parse_ipv6(skb, p, false);
	default:
		return packet_drop(p, REASON_ETHERTYPE);
	}
}
