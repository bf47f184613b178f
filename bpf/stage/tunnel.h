/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Tunnels end at hosts, and are among hosts. What an endpoint sends to a host's tunnel would come out of it as if
 * another host had sent it: masquerade makes the sender look like one. */
#pragma once

/* UDP ports of VXLAN (RFC 7348), of VXLAN as Linux first had it, and of Geneve (RFC 8926). */
#define VXLAN_PORT 4789
#define VXLAN_PORT_LINUX 8472
#define GENEVE_PORT 6081

static __always_inline bool tunnel_is(const struct packet *p)
{
	switch (p->protocol) {
	case IPPROTO_UDP:
		return p->destination_port == VXLAN_PORT || p->destination_port == VXLAN_PORT_LINUX ||
		       p->destination_port == GENEVE_PORT;
	case IPPROTO_GRE:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return true;
	default:
		return false;
	}
}

/* Drops what is for a host's tunnel. */
static __always_inline enum verdict tunnel_check(struct packet *p)
{
	if (p->ethertype == ETH_P_ARP || p->fragment == FRAGMENT_LATER || !tunnel_is(p))
		return VERDICT_CONTINUE;
	if (host_has(&p->destination) || address_is_group(&p->destination))
		return packet_drop(p, REASON_TUNNEL);
	return VERDICT_CONTINUE;
}
