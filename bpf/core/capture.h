/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Giving whole packets to who asked for them, with what became of each. */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAPTURES_MAX);
	__type(key, __u32);
	__type(value, struct capture);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_captures SEC(".maps");

/* Not a ring of our own: of a packet whose length is not known beforehand, only the kernel can copy just that much. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_captured SEC(".maps");

static __always_inline void capture_tell(struct __sk_buff *skb, const struct packet *p, struct capture *capture,
					 enum direction direction, enum verdict verdict)
{
	struct scratch *scratch = scratch_of_cpu();
	struct captured *captured;
	__u32 bytes = skb->len;

	if (!scratch || !(capture->wants & (direction == DIRECTION_OUT ? CAPTURE_OUT : CAPTURE_IN)))
		return;
	if (verdict != VERDICT_DROP && !(capture->wants & CAPTURE_PASSED))
		return;
	if (bytes > capture->bytes_max)
		bytes = capture->bytes_max;
	if (bytes > CAPTURE_BYTES_MAX)
		bytes = CAPTURE_BYTES_MAX;
	captured = &scratch->captured;
	captured->id = capture->id;
	captured->bytes = bytes;
	event_fill(&captured->event, skb, p, direction, verdict == VERDICT_DROP ? EVENT_DROPPED : EVENT_PASSED);
	captured->event.link = capture->link;
	captured->event.is_short = verdict == VERDICT_REDIRECT;
	if (bpf_perf_event_output(skb, &weft_captured, BPF_F_CURRENT_CPU | (__u64)bytes << 32, captured,
				  sizeof(*captured)))
		__sync_fetch_and_add(&capture->missed, 1);
}

/* Gives a packet to those who capture at its door; one that passes two doors at once, at either. Such a one has the
 * Ethernet addresses already with which it goes on. Not inlined, so that it is verified once. */
__noinline int captures_tell(struct __sk_buff *skb, const struct packet *p, enum direction direction,
			     enum verdict verdict)
{
	if (!p)
		return 0;
	/* The key is another variable than the counter, and that one is wide: of what is in memory, the verifier of Linux 6.1
	 * knows no more than eight bytes that were written at once, and it must know how often it has been here. */
#pragma clang loop unroll(disable)
	for (__u64 slot = 0; slot < CAPTURES_MAX; slot++) {
		struct capture *capture = bpf_map_lookup_elem(&weft_captures, &(__u32){ slot });

		if (!capture || !capture->link)
			continue;
		if (capture->link == p->link)
			capture_tell(skb, p, capture, direction, verdict);
		else if (verdict == VERDICT_REDIRECT && capture->link == p->receiver_link)
			capture_tell(skb, p, capture, DIRECTION_IN, verdict);
	}
	return 0;
}
