/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What is on the links: a jump. It never changes, so links are never touched again; where it leads does. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#include "core/jump.h"
#include "core/mark.h"

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

SEC("tc")
int weft_stub_parent_out(struct __sk_buff *skb)
{
	jump(skb, HOOK_PARENT_OUT);
}

/* What has passed the door is marked so, and goes on at once. */
SEC("tc")
int weft_stub_parent_in(struct __sk_buff *skb)
{
	if (skb->tc_index == MARK_DELIVERED) {
		skb->tc_index = 0;
		return TC_ACT_UNSPEC;
	}
	jump(skb, HOOK_PARENT_IN);
}

/* On a link that is the host's own. A jump that fails lets pass: that nothing of containers' is lost there is no reason
 * to cut the host off. */
SEC("tc")
int weft_stub_uplink_in(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &weft_programs, HOOK_UPLINK_IN);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int weft_stub_uplink_out(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &weft_programs, HOOK_UPLINK_OUT);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
