/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps of policies, beside the functions through which alone they are read. */
#pragma once

#include "../abi/policy.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct subject);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_subjects SEC(".maps");

/* What holds for an endpoint; NULL of who is none. */
static __always_inline const struct standing *standing_find(__u32 link, bool is_second)
{
	const struct subject *subject = bpf_map_lookup_elem(&weft_subjects, &link);

	return subject ? (is_second ? &subject->standings[1] : &subject->standings[0]) : NULL;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_PEERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_peer);
	__type(value, struct policy_said);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_policy_peers SEC(".maps");

/* The table for whoever has the identity; 0 if nothing is said of him. */
static __always_inline __u32 policy_of_identity(__u32 set, __u32 identity, bool is_second)
{
	struct policy_peer key = { .set = set, .identity = identity };
	const struct policy_said *said = bpf_map_lookup_elem(&weft_policy_peers, &key);

	return said ? (is_second ? said->tables[1] : said->tables[0]) : 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, POLICY_BLOCKS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_block);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_policy_blocks SEC(".maps");

/* The table for whoever has the address; 0 if nothing is said of him. */
static __always_inline __u32 policy_of_address(__u32 set, const struct address *address)
{
	struct policy_block key = { .length = POLICY_SET_BITS + 128, .set = set, .prefix = *address };
	const __u32 *table = bpf_map_lookup_elem(&weft_policy_blocks, &key);

	return table ? *table : 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, POLICY_PORTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct policy_port);
	__type(value, struct policy_verdict);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_policy_ports SEC(".maps");

/* What a table says of a port, which is in host byte order; NULL if nothing. */
static __always_inline const struct policy_verdict *policy_verdict_find(__u32 table, __u8 protocol, __u16 port)
{
	struct policy_port key = {
		.length = POLICY_PORT_BITS,
		.table = table,
		.protocol = protocol,
		.port = { port >> 8, port & 0xff },
	};

	return table ? bpf_map_lookup_elem(&weft_policy_ports, &key) : NULL;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, POLICY_COUNTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct policy_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_policy_counts SEC(".maps");

/* What is counted of a rule; NULL if there is no room for it. */
static __always_inline struct policy_count *policy_count_of(__u32 rule)
{
	struct policy_count *count = bpf_map_lookup_elem(&weft_policy_counts, &rule);
	struct policy_count first = {};

	if (count)
		return count;
	bpf_map_update_elem(&weft_policy_counts, &rule, &first, BPF_NOEXIST);
	return bpf_map_lookup_elem(&weft_policy_counts, &rule);
}
