/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the programs tell of connections and of what they drop. Shared with the agent: its Rust side is generated from
 * this file. */
#pragma once

/* Of the ring that they are told through. */
#define EVENTS_BYTES (1 << 20)
/* Who reads is woken when so much waits; he looks now and then anyway. */
#define EVENTS_WAKE_BYTES (EVENTS_BYTES / 2)
/* Drops that each CPU tells of in one window; more are counted only. */
#define DROPS_TOLD_MAX 64
/* A window is 2^24 ns. */
#define DROPS_WINDOW_BITS 24

enum event_kind {
	/* The first packet of a connection was let through. */
	EVENT_OPENED = 0,
	/* Its other end answered; of TCP, the handshake is done. */
	EVENT_ESTABLISHED = 1,
	/* Both ends have no more to send, or one reset it. */
	EVENT_ENDED = 2,
	/* A packet was dropped. */
	EVENT_DROPPED = 3,
	/* A packet passed: told to who captures alone. */
	EVENT_PASSED = 4,
	/* A packet passed that policies would have dropped if nothing were in audit. */
	EVENT_AUDITED = 5,
};

struct event {
	/* Nanoseconds since the host was started (CLOCK_MONOTONIC). */
	__u64 time;
	/* Of the packet. Zero of what has none. */
	struct address source;
	struct address destination;
	/* Host byte order; of an ICMP echo, its identifier, twice. */
	__u16 source_port;
	__u16 destination_port;
	/* Host byte order. */
	__u16 ethertype;
	/* REASON_*. */
	__u16 reason;
	/* Number of the link at whose door it was seen. */
	__u32 link;
	/* With the Ethernet header. */
	__u32 bytes;
	/* EVENT_*. */
	__u8 kind;
	/* DIRECTION_*. */
	__u8 direction;
	/* IPPROTO_*; 0 of what is no IP. */
	__u8 protocol;
	/* Of TCP (RFC 9293, section 3.1). */
	__u8 tcp_flags;
	/* Of ICMP. */
	__u8 icmp_type;
	/* The connection goes from door to door, past the host's stack. */
	__u8 is_short;
	__u8 pad[2];
	/* Of a packet that policies dropped, or would have: the rule that says so; 0 if none does. */
	__u32 rule;
	/* Of such a packet: the settings'. */
	__u32 generation;
	/* Number of the service's port by which its connection was led here; 0 if by none. */
	__u32 service;
	__u32 pad_service;
};

/* Of one CPU. */
struct telling {
	/* The window that `told` counts in. */
	__u64 window;
	/* Drops that were told of in it. */
	__u64 told;
	/* Events that were not told of, ever: the ring was full, or there were too many drops. */
	__u64 untold;
	/* Packets that were not counted, ever: there was no room for another counter. */
	__u64 uncounted;
};
