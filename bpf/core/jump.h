/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From one program to the next: never back, and what they know of a packet is not taken along. */
#pragma once

#include "../abi/hook.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HOOK_MAX);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_programs SEC(".maps");

/* A jump that fails drops: there is no packet that no program saw. */
#define jump(skb, hook)                                     \
	do {                                                \
		bpf_tail_call(skb, &weft_programs, hook);   \
		return TC_ACT_SHOT;                         \
	} while (0)
