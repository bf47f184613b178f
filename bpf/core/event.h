/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Telling the agent: connections that begin and end, and drops, but not more of these than it can read. */
#pragma once

#include "../abi/event.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct telling);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_telling SEC(".maps");

static __always_inline struct telling *telling_of_cpu(void)
{
	return bpf_map_lookup_elem(&weft_telling, &(__u32){ 0 });
}

/* Whether one more drop may be told of: a flood of them must not push out all else. */
static __always_inline bool telling_has_room(struct telling *telling)
{
	__u64 window = bpf_ktime_get_coarse_ns() >> DROPS_WINDOW_BITS;

	if (telling->window != window) {
		telling->window = window;
		telling->told = 0;
	}
	return ++telling->told <= DROPS_TOLD_MAX;
}

/* There may be one with each packet. */
static __always_inline bool event_has_reason(enum event_kind kind)
{
	return kind == EVENT_DROPPED || kind == EVENT_AUDITED;
}

/* Says what there is to say of a packet. */
static __always_inline void event_fill(struct event *event, struct __sk_buff *skb, const struct packet *p,
				       enum direction direction, enum event_kind kind)
{
	event->time = bpf_ktime_get_ns();
	event->source = p->source;
	event->destination = p->destination;
	event->source_port = p->source_port;
	event->destination_port = p->destination_port;
	event->ethertype = p->ethertype;
	event->reason = event_has_reason(kind) ? p->reason : REASON_PASSED;
	event->link = p->link;
	event->bytes = skb->len;
	event->kind = kind;
	event->direction = direction;
	event->protocol = p->protocol;
	event->tcp_flags = p->tcp_flags;
	event->icmp_type = p->icmp_type;
	event->is_short = p->is_short;
	event->pad[0] = event->pad[1] = 0;
	event->rule = p->rule;
	event->service = p->service;
	event->pad_service = 0;
	event->generation = event_has_reason(kind) ? settings_now().generation : 0;
}

/* Tells of a packet, without waking anybody for it alone; unless nobody is to be told of any. Not inlined, so that it
 * is verified once. */
__noinline int event_tell(struct __sk_buff *skb, const struct packet *p, enum direction direction,
			  enum event_kind kind)
{
	struct telling *telling;
	struct event *event;
	__u64 wake;

	if (knobs.silent || !p)
		return 0;
	telling = telling_of_cpu();
	if (!telling)
		return 0;
	if (event_has_reason(kind) && !telling_has_room(telling)) {
		telling->untold += 1;
		return 0;
	}
	event = bpf_ringbuf_reserve(&weft_events, sizeof(*event), 0);
	if (!event) {
		telling->untold += 1;
		return 0;
	}
	event_fill(event, skb, p, direction, kind);
	wake = bpf_ringbuf_query(&weft_events, BPF_RB_AVAIL_DATA) > EVENTS_WAKE_BYTES;
	bpf_ringbuf_submit(event, wake ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}
