/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What is decided when a program is loaded: the kernel's verifier drops what a knob turns off. Shared with the agent:
 * its Rust side is generated from this file. */
#pragma once

struct knobs {
	/* Not 0: decides about packets that nobody sent. Nothing is counted, remembered or told, and the program's answer
	 * is TRIAL_*. */
	__u8 trial;
	/* Not 0: tells nobody of connections that begin and end, nor of drops. Counters, connections and captures are as
	 * ever. */
	__u8 silent;
};

#define TRIAL_PASSED 0
#define TRIAL_SHORT 1
/* Plus the reason. The packet's mark is the number of the rule by which that is, if policies drop it. */
#define TRIAL_DROPPED 256
