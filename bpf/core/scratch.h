/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Memory for what is rarely needed, and for which the stack's 512 bytes have no room. */
#pragma once

#include "../abi/capture.h"

struct scratch {
	/* What is told of a packet. */
	struct captured captured;
	/* The packet that an ICMP error is about. */
	struct packet about;
};

/* Not pinned: nothing is left in it from one packet to the next, and each version has its own idea of a packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} weft_scratch SEC(".maps");

static __always_inline struct scratch *scratch_of_cpu(void)
{
	return bpf_map_lookup_elem(&weft_scratch, &(__u32){ 0 });
}
