/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Connections, as the doors of one host see them. Shared with the agent: its Rust side is generated from this file. */
#pragma once

/* Connections that both ends spoke on. Such a one is never pushed out by others. */
#define FLOWS_MAX 131072
/* Those that wait for an answer: the one unused for longest goes first. */
#define FLOWS_OPENING_MAX 65536
/* Datagrams in fragments, of which all but the first have no ports. */
#define FRAGMENTS_MAX 8192

/* Time is counted in units of 2^30 ns, a little more than a second, since the host was started (CLOCK_MONOTONIC). */
#define FLOW_TICK_BITS 30

/* How long a connection is remembered after its last packet, in ticks, by protocol and state.
 * What netfilter waits for by default, but for an established TCP connection: five days there. */
#define LIFETIME_TCP_OPENING 60
#define LIFETIME_TCP_ESTABLISHED 86400
#define LIFETIME_TCP_CLOSING 120
#define LIFETIME_TCP_CLOSED 10
#define LIFETIME_OPENING 30
#define LIFETIME_ESTABLISHED 120
#define LIFETIME_ICMP 30

/* Its two ends, of which the one with the smaller address, then port, is the low one. Neither is the client's. */
struct flow_key {
	struct address low;
	struct address high;
	/* Host byte order; of an ICMP echo, its identifier at both ends; 0 where the protocol has none. */
	__u16 low_port;
	__u16 high_port;
	/* IPPROTO_*. */
	__u8 protocol;
	__u8 pad[3];
};

enum flow_state {
	/* No answer yet. */
	FLOW_OPENING = 0,
	/* TCP's SYN was answered by one. */
	FLOW_ANSWERED = 1,
	/* Both ends spoke; of TCP, its handshake is done. */
	FLOW_ESTABLISHED = 2,
	/* One end said that it has no more to send. */
	FLOW_CLOSING = 3,
	/* Both did. */
	FLOW_FINISHED = 4,
	/* One end reset it. */
	FLOW_RESET = 5,
};

/* A connection. */
struct flow {
	/* When it is forgotten, in ticks. */
	__u32 expires;
	/* FLOW_*. */
	__u8 state;
	/* Which end opened it: 0 the low one, 1 the high one. */
	__u8 opener;
	/* Which ends have no more to send: bit 0 the low one, bit 1 the high one. */
	__u8 finished;
	/* FLOW_IS_*. */
	__u8 flags;
	/* Of each end, the number of the link of the endpoint at whose door the connection was let through; else 0. */
	__u32 links[2];
	/* By which of the settings' generations all that an end sends was let through at its door; 0 if by none. Until
	 * these change, its packets are not looked at again. */
	__u32 generations[2];
	/* Ethernet addresses of the ends that are endpoints of this host. */
	__u8 macs[2][6];
	/* Of each end, not 0: what it sends to the other's Ethernet address goes straight into that one's link. Holds for as
	 * long as the end's generation does. */
	__u8 straight[2];
	__u8 pad[2];
	/* By which of the settings' generations policies let it through at the door of an end, for what that gets. */
	__u32 decided[2];
	/* Number of the service's port by which it was led to who gets it; 0 if by none. */
	__u32 service;
};

/* Its packets are handed from door to door, past the host's stack. */
#define FLOW_IS_SHORT 1
/* The host itself opened it. */
#define FLOW_BY_HOST 2

/* A datagram in fragments (RFC 791, section 3.2; RFC 8200, section 4.5). */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 identification;
	/* IPPROTO_*. */
	__u8 protocol;
	__u8 pad[3];
};

/* Host byte order; of an ICMP echo, its identifier, twice. */
struct fragment_ports {
	__u16 source;
	__u16 destination;
};
