/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Captures: whole packets for who asks for them. Shared with the agent: its Rust side is generated from this file. */
#pragma once

/* Captures under way at once: each packet is held against all of them. */
#define CAPTURES_MAX 4
/* Of one packet: a record of the kernel's has 16 bits for its length. */
#define CAPTURE_BYTES_MAX 65000

/* What is captured at one door. All zero: nothing. */
struct capture {
	/* Told with each packet, so that none is taken for one of an earlier capture. */
	__u64 id;
	/* Packets that nobody got: there was no room for them, or nobody read. */
	__u64 missed;
	/* Number of the link on the host; 0 while there is no capture. */
	__u32 link;
	/* Of each packet, from its Ethernet header on. */
	__u32 bytes_max;
	/* CAPTURE_*. */
	__u32 wants;
	__u32 pad;
};

/* What the container sends. */
#define CAPTURE_OUT 1
/* What is sent to it. */
#define CAPTURE_IN 2
/* What passes, besides what is dropped. */
#define CAPTURE_PASSED 4

/* A packet. Its first bytes follow. */
struct captured {
	/* EVENT_DROPPED or EVENT_PASSED. `is_short` is of this packet alone. */
	struct event event;
	/* Of the capture. */
	__u64 id;
	/* That follow. What is behind them is the kernel's padding. */
	__u32 bytes;
	__u32 pad;
};
