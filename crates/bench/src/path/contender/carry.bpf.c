/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The least that programs can do to join two links: what comes in at one host's end comes out of the other link's far
 * end. Filters sit where weft's do, so that the difference is what weft's programs do. */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

/* Number of the other link's host end, set before loading. */
const volatile __u32 other = 0;

SEC("tc")
int carry_out(struct __sk_buff *skb)
{
	/* It is for the far end, which has another address than this one; older kernels would not look again. */
	if (skb->pkt_type == PACKET_OTHERHOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(other, 0);
}

SEC("tc")
int carry_in(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
