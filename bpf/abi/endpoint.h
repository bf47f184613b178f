/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the programs know of endpoints and networks. Shared with the agent: its Rust side is generated from this file. */
#pragma once

/* Layout of all maps in this folder. A change of any of them changes it, by the rules of crates/dataplane/src/migrate.rs:
 * keys stay as they are, new fields of values go to the end, and zero in them means what it meant without them. */
#define ABI_VERSION 7

/* Endpoints of one host. */
#define ENDPOINTS_MAX 16384
/* Addresses of one host's endpoints: two of each family, on average. */
#define ADDRESSES_MAX 65536
/* Prefixes that endpoints of networks may send from besides their own addresses. */
#define ALLOWED_MAX 65536
/* Prefixes that single endpoints may send from besides their own addresses; each that has some takes one more. */
#define ENDPOINT_ALLOWED_MAX 65536
/* Addresses of hosts: this one's own, and of the others of its cluster. */
#define HOSTS_MAX 65536
/* Pairs of networks that reach each other, both ways counted. */
#define PEERS_MAX 65536
/* Links by which endpoints are on segments. */
#define PARENTS_MAX ENDPOINTS_MAX
/* Counters: some reasons in either direction, for each endpoint. */
#define COUNTERS_MAX 131072

/* IPv4 as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2); bytes as on the wire. Aligned, so that it is compared by words. */
struct address {
	__u8 bytes[16] __attribute__((aligned(8)));
};

/* An endpoint, by the number of its link on the host. */
struct endpoint {
	/* Its first address of each family; unused ones are zero. Others are in `addresses` alone. */
	struct address ipv4;
	struct address ipv6;
	/* The one it has from its MAC address (RFC 4291, appendix A). */
	struct address link_local;
	__u8 mac[6];
	__u8 pad[2];
	/* Number of its network on this host. */
	__u32 network;
	/* ENDPOINT_*. */
	__u32 flags;
	/* Bytes, behind the Ethernet header. */
	__u32 mtu;
	/* Number of the link by which what it sends goes first and is held back; 0 if there is none. */
	__u32 throttle;
	/* Number of the bridge that its link is a port of; 0 if it is none. */
	__u32 bridge;
	/* Where it is on an Ethernet segment: number of the link by which what it sends comes to the host, as `weft_parents`
	 * has it. Its own, or the one that its own one sits on; 0 if it is on none. */
	__u32 parent;
	/* Inode of the network namespace that it is in, by which its sockets are known where its link does not tell who
	 * sends; 0 if that is not asked. */
	__u32 namespace;
	__u32 pad_namespace;
};

/* It has more addresses than two. */
#define ENDPOINT_HAS_MORE 1
/* It does not reach others of its network. */
#define ENDPOINT_ISOLATED 2
/* Its packets go by the host's stack, where something waits for them. */
#define ENDPOINT_BY_STACK 4
/* It may send from other addresses than its own, whatever its network says. */
#define ENDPOINT_HAS_ALLOWANCES 8
/* What it sends to others on its parent goes by the physical switch. */
#define ENDPOINT_BY_SWITCH 16
/* It does not reach the host, nor the host it. */
#define ENDPOINT_WITHOUT_HOST 32
/* Its addresses are leased by DHCP: it may ask for one while it has none. */
#define ENDPOINT_LEASES 64

/* What holds for all endpoints of the host. Read and written at once: its halves are of one time. */
struct settings {
	/* SETTING_*. */
	__u32 flags;
	/* Grows after each change of what the programs decide by, and is 0 before the first: what was let through by an
	 * older one is looked at again. */
	__u32 generation;
};

/* Nothing in the host's stack has a say about packets among endpoints: they may go past it. */
#define SETTING_SHORT_WAY 1
/* Somebody captures packets. */
#define SETTING_CAPTURE 2
/* Some policy says something about somebody. */
#define SETTING_POLICIES 4
/* Of what policies come to, the second of two counts: so all of it changes at once. */
#define SETTING_SECOND 8
/* Sockets are led to services. */
#define SETTING_SERVICES 16

/* A prefix that endpoints of a network may send from besides their own addresses. `length` counts the bits behind it. */
struct allowed_key {
	__u32 length;
	__u32 network;
	struct address prefix;
};

/* Bits of `network` in front of the prefix. */
#define ALLOWED_NETWORK_BITS 32

/* A prefix that one endpoint may send from besides its own addresses. `length` counts the bits behind it. */
struct endpoint_allowed_key {
	__u32 length;
	/* Number of its link on the host. */
	__u32 link;
	struct address prefix;
};

/* Bits of `link` in front of the prefix. */
#define ALLOWED_LINK_BITS 32

/* What is at such a key. */
enum endpoint_allowed {
	/* Nothing that could be sent from: `::`, which the map has in front of all others of the link. */
	ENDPOINT_ALLOWED_FRONT = 0,
	ENDPOINT_ALLOWED_PREFIX = 1,
};

/* Who has an address on this host. */
struct holder {
	/* Number of the endpoint's link on the host. */
	__u32 link;
	/* Number of its network on this host. */
	__u32 network;
};

/* Endpoints of `from` reach those of `to`. */
struct peering {
	__u32 from;
	__u32 to;
};

/* A link of weft's own by which endpoints are on an Ethernet segment: the host's end of one endpoint's, or what many sit
 * on. All that comes by it was sent by endpoints, and by nobody else, whatever Ethernet address it has; so the host's
 * cannot be forged. */
struct parent {
	/* Number of the segment that it is part of: the same for all on one link to the outside. */
	__u32 segment;
	/* Number of the link to the outside; 0 while there is none. */
	__u32 uplink;
	/* Number of the parent of the segment that many sit on; 0 if there is none, or this is the one. */
	__u32 sibling;
	/* PARENT_*. */
	__u32 flags;
	/* Of the link to the outside: the host's. */
	__u8 mac[6];
	__u8 pad[2];
};

/* Its endpoints have all one Ethernet address, and are told apart by their IP addresses (ipvlan). */
#define PARENT_BY_ADDRESS 1
/* What they send names no neighbour: the host's routes say by which it leaves (ipvlan's modes l3 and l3s). */
#define PARENT_ROUTED 2

/* A segment's link to the outside. */
struct uplink {
	/* Number of the segment. */
	__u32 segment;
	/* Number of the parent whose endpoints have no Ethernet addresses of their own; 0 if there is none. */
	__u32 by_address;
	/* The host's. */
	__u8 mac[6];
	__u8 pad[2];
};

/* An Ethernet address of an endpoint on a segment. */
struct station_key {
	__u32 segment;
	__u8 mac[6];
	__u8 pad[2];
};

/* Who has it. */
struct station {
	/* Number of the endpoint's link. */
	__u32 link;
};

struct counter_key {
	__u32 link;
	__u16 direction;
	__u16 reason;
};

struct counter {
	__u64 packets;
	/* With the Ethernet header, as segmented as the stack had it. */
	__u64 bytes;
};
