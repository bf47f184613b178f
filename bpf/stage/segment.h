/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* An Ethernet segment: the endpoints on one link to the outside, the host, and the wire behind it.
 *
 *   container ══ parent, its host's end ───────────┐          ┌─► host's stack
 *   container ══ parent, its host's end ───────────┼─ switch ─┼─► wire
 *   container ─ ipvlan ─┐                          │          └─► another parent
 *   container ─ ipvlan ─┴─ parent, all of these's ─┘
 *
 * Nothing that a container does inside reaches around its parent: the switch is here. */
#pragma once

#define MAC_GROUP 1
/* VLAN of a tag (IEEE 802.1Q): 0 if the tag has a priority only. */
#define VLAN_NUMBER 0xfff

static __always_inline bool mac_is_group(const __u8 *mac)
{
	return mac[0] & MAC_GROUP;
}

/* The address of one end of an ARP packet: its sender's, or whom it asks for. */
static __always_inline bool segment_arp_address(struct __sk_buff *skb, const struct packet *p, bool is_sender,
						struct address *address)
{
	struct arp_ipv4 arp;
	__be32 ip;

	if (bpf_skb_load_bytes(skb, p->network_at, &arp, sizeof(arp)))
		return false;
	__builtin_memcpy(&ip, is_sender ? arp.sender_ip : arp.target_ip, sizeof(ip));
	address_of_ipv4(address, ip);
	return true;
}

/* The endpoint that has an IP address, if it is one of those of its parent that only these tell apart. */
static __always_inline __u32 segment_find_by_address(struct __sk_buff *skb, const struct packet *p, bool is_sender)
{
	struct address address = is_sender ? p->source : p->destination;
	const struct holder *holder;

	if (p->ethertype == ETH_P_ARP && !segment_arp_address(skb, p, is_sender, &address))
		return 0;
	holder = address_find(&address);
	return holder ? holder->link : 0;
}

/* The number of the link of the endpoint that a frame on the segment is for; 0 if it is for none. `host` is the host's
 * own address there, and that of all endpoints that have none of their own. */
static __always_inline __u32 segment_receiver(struct __sk_buff *skb, const struct packet *p, __u32 segment,
					      const __u8 *host)
{
	__u32 link = station_find(segment, p->destination_mac);
	const struct endpoint *endpoint;
	const struct parent *parent;

	if (link || !mac_equal(p->destination_mac, host))
		return link;
	link = segment_find_by_address(skb, p, false);
	endpoint = link ? endpoint_find(link) : NULL;
	parent = endpoint ? parent_find(endpoint->parent) : NULL;
	/* What is for the host to forward, to an endpoint that has an address of its own, is the host's. */
	return parent && parent->flags & PARENT_BY_ADDRESS && parent->segment == segment ? link : 0;
}

/* Whether the endpoint behind `link` has it to itself: all that is for the endpoint leaves by it. */
static __always_inline bool segment_is_own(const struct endpoint *endpoint, __u32 link)
{
	return endpoint->parent == link;
}

/* What comes from the wire, or from the host: to the endpoint that it is for, to all if it is for many, and on as it
 * was going. `is_hosts`: sent by the host. */
static __always_inline int segment_hand_over(struct __sk_buff *skb, bool is_hosts)
{
	const struct uplink *uplink = uplink_find(skb->ifindex);
	const struct endpoint *receiver;
	struct packet p = {};
	__u32 link;

	if (skb->tc_index == MARK_SWITCHED) {
		skb->tc_index = 0;
		return TC_ACT_UNSPEC;
	}
	if (skb->tc_index == MARK_DELIVERED)
		skb->tc_index = 0;
	/* Of another segment; a tag of no VLAN has a priority only. */
	if (!uplink || (skb->vlan_present && skb->vlan_tci & VLAN_NUMBER))
		return TC_ACT_UNSPEC;
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return TC_ACT_UNSPEC;
	/* What is malformed has its Ethernet addresses all the same, and its receiver's door drops it. */
	packet_parse(skb, &p);
	if (mac_is_group(p.destination_mac)) {
		stations_hear(skb, uplink->segment);
		if (uplink->by_address)
			bpf_clone_redirect(skb, uplink->by_address, BPF_F_INGRESS);
		return TC_ACT_UNSPEC;
	}
	link = segment_receiver(skb, &p, uplink->segment, uplink->mac);
	receiver = link ? endpoint_find(link) : NULL;
	if (!receiver || !receiver->parent)
		return TC_ACT_UNSPEC;
	if (is_hosts && receiver->flags & ENDPOINT_WITHOUT_HOST)
		return TC_ACT_SHOT;
	return bpf_redirect(receiver->parent, segment_is_own(receiver, link) ? 0 : BPF_F_INGRESS);
}
