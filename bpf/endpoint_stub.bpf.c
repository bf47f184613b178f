/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What is on the links: a jump. It never changes, so links are never touched again; where it leads does. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "abi/hook.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HOOK_MAX);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_programs SEC(".maps");

/* A jump that fails drops: there is no packet that no program saw. */
SEC("tc")
int weft_stub_out(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &weft_programs, HOOK_ENDPOINT_OUT);
	return TC_ACT_SHOT;
}

SEC("tc")
int weft_stub_in(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &weft_programs, HOOK_ENDPOINT_IN);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
