/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps of services, and the functions through which alone they are used. */
#pragma once

#include "translation.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NAMESPACES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct namespace_known);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_namespaces SEC(".maps");

/* The view of who is in the network namespace with this cookie; 0 if that is none of this agent's. */
static __always_inline __u32 view_find(__u64 cookie)
{
	const struct namespace_known *known = bpf_map_lookup_elem(&weft_namespaces, &cookie);

	return known ? known->view : 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FRONTENDS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_frontends SEC(".maps");

static __always_inline const struct frontend *frontend_find(const struct frontend_key *key)
{
	return bpf_map_lookup_elem(&weft_frontends, key);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BACKENDS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct backend_key);
	__type(value, struct backend);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_backends SEC(".maps");

/* Any one of a frontend's: each as often as the others. NULL if its set was replaced meanwhile. */
static __always_inline const struct backend *backend_choose(const struct frontend *frontend)
{
	struct backend_key key = { .set = frontend->set };

	key.place = ((__u64)bpf_get_prandom_u32() * frontend->count) >> 32;
	return bpf_map_lookup_elem(&weft_backends, &key);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEMBERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct member_key);
	__type(value, __u8);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, AFFINITIES_MAX);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_affinities SEC(".maps");

/* The backend that a client stays with, if it is one of the set still. */
static __always_inline const struct affinity *affinity_find(const struct affinity_key *key, __u32 set, __u32 now)
{
	const struct affinity *affinity = bpf_map_lookup_elem(&weft_affinities, key);
	struct member_key member = { .set = set };

	if (!affinity || (__s32)(affinity->until - now) <= 0)
		return NULL;
	member.address = affinity->address;
	member.port = affinity->port;
	return bpf_map_lookup_elem(&weft_members, &member) ? affinity : NULL;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, SERVICE_COUNTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct service_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_service_counts SEC(".maps");

static __always_inline void service_note(__u32 service, bool is_refused)
{
	struct service_count *count = bpf_map_lookup_elem(&weft_service_counts, &service);
	struct service_count first = { .connections = !is_refused, .refused = is_refused };

	if (!count) {
		bpf_map_update_elem(&weft_service_counts, &service, &first, BPF_NOEXIST);
		return;
	}
	if (is_refused)
		count->refused += 1;
	else
		count->connections += 1;
}
