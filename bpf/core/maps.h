/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps that the agent writes, beside the functions through which alone they are read. All maps are pinned and
 * outlive the agent. */
#pragma once

#include "../abi/endpoint.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct endpoint);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_endpoints SEC(".maps");

static __always_inline const struct endpoint *endpoint_find(__u32 link)
{
	return bpf_map_lookup_elem(&weft_endpoints, &link);
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_settings SEC(".maps");

/* To be read before anything that is decided by: who changes that brings on the next generation afterwards. */
static __always_inline struct settings settings_now(void)
{
	const __u64 *found = bpf_map_lookup_elem(&weft_settings, &(__u32){ 0 });
	union {
		__u64 whole;
		struct settings settings;
	} now = { .whole = found ? *(const volatile __u64 *)found : 0 };

	return now.settings;
}

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, ALLOWED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct allowed_key);
	__type(value, __u8);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_allowed SEC(".maps");

static __always_inline bool allowed_has(__u32 network, const struct address *address)
{
	struct allowed_key key = { .length = ALLOWED_NETWORK_BITS + 128, .network = network, .prefix = *address };

	return bpf_map_lookup_elem(&weft_allowed, &key);
}

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, ENDPOINT_ALLOWED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct endpoint_allowed_key);
	__type(value, __u8);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_endpoint_allowed SEC(".maps");

/* Not to be asked about `::`. */
static __always_inline bool endpoint_allowed_has(__u32 link, const struct address *address)
{
	struct endpoint_allowed_key key = { .length = ALLOWED_LINK_BITS + 128, .link = link, .prefix = *address };

	return bpf_map_lookup_elem(&weft_endpoint_allowed, &key);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ADDRESSES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct holder);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_addresses SEC(".maps");

static __always_inline const struct holder *address_find(const struct address *address)
{
	/* Linux 6.1 takes a key from the stack alone, and not from what a function was given. */
	struct address key = *address;

	return bpf_map_lookup_elem(&weft_addresses, &key);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PARENTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct parent);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_parents SEC(".maps");

static __always_inline const struct parent *parent_find(__u32 link)
{
	return bpf_map_lookup_elem(&weft_parents, &link);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PARENTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct uplink);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_uplinks SEC(".maps");

static __always_inline const struct uplink *uplink_find(__u32 link)
{
	return bpf_map_lookup_elem(&weft_uplinks, &link);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct station_key);
	__type(value, struct station);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_stations SEC(".maps");

/* A frame that is for all of a segment. */
struct broadcast {
	struct __sk_buff *skb;
	__u32 segment;
	/* Number of the link that it came by. */
	__u32 from;
};

struct bpf_map;

static long station_hear(struct bpf_map *map, const struct station_key *key, const struct station *station,
			 struct broadcast *broadcast)
{
	if (key->segment == broadcast->segment && station->link != broadcast->from)
		bpf_clone_redirect(broadcast->skb, station->link, 0);
	return 0;
}

/* Gives a frame to all others that have an Ethernet address on the segment. */
static __always_inline void stations_hear(struct __sk_buff *skb, __u32 segment)
{
	struct broadcast broadcast = { .skb = skb, .segment = segment, .from = skb->ifindex };

	bpf_for_each_map_elem(&weft_stations, station_hear, &broadcast, 0);
}

/* The number of the link of the endpoint that has this Ethernet address; 0 if none has it. */
static __always_inline __u32 station_find(__u32 segment, const __u8 *mac)
{
	struct station_key key = { .segment = segment };
	const struct station *station;

	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	station = bpf_map_lookup_elem(&weft_stations, &key);
	return station ? station->link : 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PEERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct peering);
	__type(value, __u8);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_peers SEC(".maps");

static __always_inline bool peers(__u32 from, __u32 to)
{
	struct peering key = { .from = from, .to = to };

	return bpf_map_lookup_elem(&weft_peers, &key);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOSTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, __u8);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_hosts SEC(".maps");

static __always_inline bool host_has(const struct address *address)
{
	/* As in address_find. */
	struct address key = *address;

	return bpf_map_lookup_elem(&weft_hosts, &key);
}
