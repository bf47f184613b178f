/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What a stage says of a packet. */
#pragma once

/* Set by who loads the program. */
const volatile struct knobs knobs = {};

enum verdict {
	/* The next stage decides. */
	VERDICT_CONTINUE = 0,
	/* On to the stack. */
	VERDICT_PASS = 1,
	/* Gone, for the packet's `reason`. */
	VERDICT_DROP = 2,
	/* Into the container behind the packet's `receiver_link`, past the stack and its door; by the packet's `detour`,
	 * where the container's link sits on that. */
	VERDICT_REDIRECT = 3,
	/* On by the packet's `detour`. */
	VERDICT_BY = 4,
	/* Out by the packet's `detour`, to the neighbour that the host's routes there name. */
	VERDICT_ROUTED = 5,
	/* Whoever it is for has got it. */
	VERDICT_HEARD = 6,
};
