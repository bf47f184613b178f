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
	/* Into the container behind the packet's `receiver_link`, past the stack. */
	VERDICT_REDIRECT = 3,
	/* On to the stack by way of the packet's `detour`, which holds it back. */
	VERDICT_THROTTLE = 4,
	/* On to the host alone, as if it had come in by the packet's `detour`. */
	VERDICT_HOST = 5,
};
