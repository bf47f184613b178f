/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What is on the links: a jump. It never changes, so links are never touched again; where it leads does. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "core/jump.h"

SEC("tc")
int weft_stub_out(struct __sk_buff *skb)
{
	jump(skb, HOOK_ENDPOINT_OUT);
}

SEC("tc")
int weft_stub_in(struct __sk_buff *skb)
{
	jump(skb, HOOK_ENDPOINT_IN);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
