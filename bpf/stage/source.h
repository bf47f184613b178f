/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Whether a packet is really its sender's: what an endpoint may say it is comes from the ledger alone. */
#pragma once

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67
#define DHCPV6_SERVER_PORT 547

/* Those of ICMP that routers alone send (RFC 792, RFC 1256). */
#define ICMP_REDIRECT_TYPE 5
#define ICMP_ROUTER_ADVERTISEMENT 9
/* Types of ICMPv6 (RFC 4861, RFC 2710, RFC 3810). */
#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_NEIGHBOUR_SOLICITATION 135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define MLD_REPORT 131
#define MLD_DONE 132
#define MLD2_REPORT 143
/* Options of neighbour discovery (RFC 4861, section 4.6). */
#define ND_OPTION_SOURCE_LINK_LAYER 1
#define ND_OPTION_TARGET_LINK_LAYER 2
/* Before the options: a solicitation or advertisement of a neighbour has its target, that of a router has not. */
#define ND_NEIGHBOUR_BYTES 24
#define ND_ROUTER_BYTES 8
/* Options of one message that are looked at: a sender that needs more is none we know. */
#define ND_OPTIONS_MAX 4

struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
} __attribute__((packed));

/* Whether the endpoint may send from `address`. */
static __always_inline bool source_may(__u32 link, const struct endpoint *endpoint, const struct address *address)
{
	const struct holder *holder;

	if (address_is_unspecified(address))
		return false;
	if (address_equal(address, &endpoint->ipv4) || address_equal(address, &endpoint->ipv6) ||
	    address_equal(address, &endpoint->link_local))
		return true;
	if (endpoint->flags & ENDPOINT_HAS_MORE) {
		holder = address_find(address);
		if (holder && holder->link == link)
			return true;
	}
	if (endpoint->flags & ENDPOINT_HAS_ALLOWANCES && endpoint_allowed_has(link, address))
		return true;
	return allowed_has(endpoint->network, address);
}

/* ARP speaks for its sender only. Who asks from 0.0.0.0 whether an address is free says nothing of himself (RFC 5227). */
static __always_inline enum verdict source_arp(struct __sk_buff *skb, struct packet *p,
					       const struct endpoint *endpoint)
{
	struct arp_ipv4 arp;
	struct address sender;
	__be32 ip;

	if (bpf_skb_load_bytes(skb, p->network_at, &arp, sizeof(arp)))
		return packet_drop(p, REASON_MALFORMED);
	if (arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_bytes != 6 || arp.protocol_bytes != 4)
		return packet_drop(p, REASON_SOURCE_ARP);
	if (!mac_equal(arp.sender_mac, endpoint->mac))
		return packet_drop(p, REASON_SOURCE_ARP);
	__builtin_memcpy(&ip, arp.sender_ip, sizeof(ip));
	if (!ip && arp.operation == bpf_htons(1))
		return VERDICT_CONTINUE;
	address_of_ipv4(&sender, ip);
	if (!source_may(p->link, endpoint, &sender))
		return packet_drop(p, REASON_SOURCE_ARP);
	return VERDICT_CONTINUE;
}

/* No option may name a link-layer address other than the endpoint's: neighbours would learn it. */
static __always_inline enum verdict source_nd_options(struct __sk_buff *skb, struct packet *p,
						      const struct endpoint *endpoint, __u32 at)
{
	struct {
		__u8 kind;
		__u8 length;
		__u8 mac[6];
	} option;

	for (int n = 0; n < ND_OPTIONS_MAX; n++) {
		if (at >= skb->len)
			return VERDICT_CONTINUE;
		if (bpf_skb_load_bytes(skb, at, &option, sizeof(option)) || !option.length)
			return packet_drop(p, REASON_MALFORMED);
		if ((option.kind == ND_OPTION_SOURCE_LINK_LAYER || option.kind == ND_OPTION_TARGET_LINK_LAYER) &&
		    !mac_equal(option.mac, endpoint->mac))
			return packet_drop(p, REASON_SOURCE_ND);
		at += option.length * 8;
	}
	return at >= skb->len ? VERDICT_CONTINUE : packet_drop(p, REASON_MALFORMED);
}

/* Neighbour discovery and multicast listening, in the name of the endpoint only. */
static __always_inline enum verdict source_icmpv6(struct __sk_buff *skb, struct packet *p,
						  const struct endpoint *endpoint)
{
	bool unspecified = address_is_unspecified(&p->source);
	struct address target;
	__u8 type = p->icmp_type;

	if (p->fragment == FRAGMENT_LATER)
		return VERDICT_CONTINUE;
	if (type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT)
		return packet_drop(p, REASON_ROUTER);
	if (unspecified && type != ND_NEIGHBOUR_SOLICITATION && type != ND_ROUTER_SOLICITATION &&
	    type != MLD_REPORT && type != MLD_DONE && type != MLD2_REPORT)
		return packet_drop(p, REASON_SOURCE_ADDRESS);
	if (type < ND_ROUTER_SOLICITATION || type > ND_NEIGHBOUR_ADVERTISEMENT)
		return VERDICT_CONTINUE;
	/* RFC 6980: never in fragments, which would hide what follows. */
	if (p->fragment)
		return packet_drop(p, REASON_MALFORMED);
	if (type == ND_ROUTER_SOLICITATION)
		return source_nd_options(skb, p, endpoint, p->transport_at + ND_ROUTER_BYTES);
	if (bpf_skb_load_bytes(skb, p->transport_at + ICMP_BYTES, &target, sizeof(target)))
		return packet_drop(p, REASON_MALFORMED);
	/* An advertisement is about its sender; a solicitation from :: asks whether an address is free (RFC 4862). */
	if (type == ND_NEIGHBOUR_ADVERTISEMENT && !source_may(p->link, endpoint, &target))
		return packet_drop(p, REASON_SOURCE_ND);
	return source_nd_options(skb, p, endpoint, p->transport_at + ND_NEIGHBOUR_BYTES);
}

/* Who leases an address has none to ask from, at first (RFC 2131, section 4.1). */
static __always_inline bool source_asks_for_lease(const struct packet *p, const struct endpoint *endpoint)
{
	const __u32 *to = (const void *)&p->destination;

	return endpoint->flags & ENDPOINT_LEASES && p->ethertype == ETH_P_IP && p->protocol == IPPROTO_UDP && !p->fragment &&
	       p->source_port == DHCP_CLIENT_PORT && p->destination_port == DHCP_SERVER_PORT &&
	       address_is_unspecified(&p->source) && to[3] == 0xffffffff;
}

/* Drops what is not the own of the endpoint behind the packet's `link`. Not inlined, so that it is verified once. */
__noinline int source_check(struct __sk_buff *skb, struct packet *p)
{
	const struct endpoint *endpoint = p ? endpoint_find(p->link) : NULL;

	if (!p)
		return VERDICT_DROP;
	if (!endpoint)
		return packet_drop(p, REASON_NO_ENDPOINT);
	if (!mac_equal(p->source_mac, endpoint->mac))
		return packet_drop(p, REASON_SOURCE_MAC);
	if (p->ethertype == ETH_P_ARP)
		return source_arp(skb, p, endpoint);
	if (p->protocol == IPPROTO_ICMP &&
	    (p->icmp_type == ICMP_REDIRECT_TYPE || p->icmp_type == ICMP_ROUTER_ADVERTISEMENT))
		return packet_drop(p, REASON_ROUTER);
	if (p->protocol == IPPROTO_ICMPV6 && p->ethertype == ETH_P_IPV6) {
		enum verdict verdict = source_icmpv6(skb, p, endpoint);

		if (verdict != VERDICT_CONTINUE)
			return verdict;
		if (address_is_unspecified(&p->source) && p->fragment != FRAGMENT_LATER)
			return VERDICT_CONTINUE;
	}
	if (source_asks_for_lease(p, endpoint))
		return VERDICT_CONTINUE;
	if (!source_may(p->link, endpoint, &p->source))
		return packet_drop(p, REASON_SOURCE_ADDRESS);
	if (p->protocol == IPPROTO_UDP &&
	    p->source_port == (p->ethertype == ETH_P_IP ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT))
		return packet_drop(p, REASON_DHCP_SERVER);
	return VERDICT_CONTINUE;
}
