/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counting packets by endpoint, direction and reason. */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, COUNTERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct counter_key);
	__type(value, struct counter);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_counters SEC(".maps");

static __always_inline void counter_add(__u32 link, enum direction direction, enum reason reason, __u32 bytes)
{
	struct counter_key key = { .link = link, .direction = direction, .reason = reason };
	struct counter *counter = bpf_map_lookup_elem(&weft_counters, &key);
	struct counter first = {};
	struct telling *telling;

	if (!counter) {
		bpf_map_update_elem(&weft_counters, &key, &first, BPF_NOEXIST);
		counter = bpf_map_lookup_elem(&weft_counters, &key);
	}
	if (counter) {
		counter->packets += 1;
		counter->bytes += bytes;
		return;
	}
	/* There is no room for it. */
	telling = telling_of_cpu();
	if (telling)
		telling->uncounted += 1;
}
