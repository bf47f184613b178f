/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps of connections and fragments, and the functions through which alone they are used. */
#pragma once

#include "../abi/flow.h"

/* Those that both ends spoke on. Never evicts, and is allocated at once: a new one either has room or has not. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, struct flow_key);
	__type(value, struct flow);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_flows SEC(".maps");

/* Those that wait for an answer, so that a flood of openings pushes out openings alone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_OPENING_MAX);
	__type(key, struct flow_key);
	__type(value, struct flow);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_openings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_fragments SEC(".maps");

static __always_inline __u32 flow_now(void)
{
	return bpf_ktime_get_coarse_ns() >> FLOW_TICK_BITS;
}

/* Whether `a` comes before `b`: any order does that is always the same. */
static __always_inline bool address_before(const struct address *a, const struct address *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return x[1] == y[1] ? x[0] < y[0] : x[1] < y[1];
}

/* Names the connection of a packet, and says which end sent it: 0 the low one, 1 the high one. */
static __always_inline __u8 flow_key_of(const struct packet *p, struct flow_key *key)
{
	bool same = address_equal(&p->source, &p->destination);
	bool low = same ? p->source_port <= p->destination_port : address_before(&p->source, &p->destination);

	key->protocol = p->protocol;
	key->low = low ? p->source : p->destination;
	key->high = low ? p->destination : p->source;
	key->low_port = low ? p->source_port : p->destination_port;
	key->high_port = low ? p->destination_port : p->source_port;
	return low ? 0 : 1;
}

static __always_inline struct flow *flow_find(const struct flow_key *key)
{
	struct flow *flow = bpf_map_lookup_elem(&weft_flows, key);

	return flow ? flow : bpf_map_lookup_elem(&weft_openings, key);
}

/* The link of the endpoint that has this end, if its door has let the connection through. */
static __always_inline __u32 flow_link(const struct flow *flow, __u8 end)
{
	return end ? flow->links[1] : flow->links[0];
}

static __always_inline void flow_let_through(struct flow *flow, __u8 end, __u32 link)
{
	if (end)
		flow->links[1] = link;
	else
		flow->links[0] = link;
}

static __always_inline __u32 flow_generation(const struct flow *flow, __u8 end)
{
	return end ? flow->generations[1] : flow->generations[0];
}

static __always_inline __u32 flow_decided(const struct flow *flow, __u8 end)
{
	return end ? flow->decided[1] : flow->decided[0];
}

static __always_inline void flow_decide(struct flow *flow, __u8 end, __u32 generation)
{
	if (end)
		flow->decided[1] = generation;
	else
		flow->decided[0] = generation;
}

static __always_inline const __u8 *flow_mac(const struct flow *flow, __u8 end)
{
	return end ? flow->macs[1] : flow->macs[0];
}

static __always_inline bool flow_is_straight(const struct flow *flow, __u8 end)
{
	return end ? flow->straight[1] : flow->straight[0];
}

/* Notes that all that a packet's sender, which is `end`, sends was let through by this generation of the settings, and
 * what the next ones need not ask for: the Ethernet addresses of both ends, as far as they are this host's. */
static __always_inline void flow_vouch(struct flow *flow, __u8 end, __u32 generation, const struct packet *p)
{
	if (end) {
		__builtin_memcpy(flow->macs[1], p->source_mac, 6);
		if (p->is_short)
			__builtin_memcpy(flow->macs[0], p->receiver_mac, 6);
		flow->straight[1] = p->is_straight;
		flow->generations[1] = generation;
	} else {
		__builtin_memcpy(flow->macs[0], p->source_mac, 6);
		if (p->is_short)
			__builtin_memcpy(flow->macs[1], p->receiver_mac, 6);
		flow->straight[0] = p->is_straight;
		flow->generations[0] = generation;
	}
}

/* Begins a connection, in place of what was remembered by that name. */
static __always_inline void flow_open(const struct flow_key *key, const struct flow *flow)
{
	bpf_map_delete_elem(&weft_flows, key);
	bpf_map_update_elem(&weft_openings, key, flow, BPF_ANY);
}

/* Keeps a connection for as long as it lives. Where there is no room, it stays among the openings. */
static __always_inline void flow_confirm(const struct flow_key *key, const struct flow *flow)
{
	if (!bpf_map_update_elem(&weft_flows, key, flow, BPF_NOEXIST))
		bpf_map_delete_elem(&weft_openings, key);
}

static __always_inline __u32 flow_lifetime(__u8 protocol, __u8 state)
{
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return LIFETIME_ICMP;
	if (protocol != IPPROTO_TCP)
		return state == FLOW_OPENING ? LIFETIME_OPENING : LIFETIME_ESTABLISHED;
	switch (state) {
	case FLOW_ESTABLISHED:
		return LIFETIME_TCP_ESTABLISHED;
	case FLOW_CLOSING:
	case FLOW_FINISHED:
		return LIFETIME_TCP_CLOSING;
	case FLOW_RESET:
		return LIFETIME_TCP_CLOSED;
	default:
		return LIFETIME_TCP_OPENING;
	}
}

/* Remembers the ports of a datagram for its later fragments, which have none. */
static __always_inline void fragment_note(const struct packet *p)
{
	struct fragment_key key = {
		.source = p->source,
		.destination = p->destination,
		.identification = p->identification,
		.protocol = p->protocol,
	};
	struct fragment_ports ports = { .source = p->source_port, .destination = p->destination_port };

	bpf_map_update_elem(&weft_fragments, &key, &ports, BPF_ANY);
}

/* Gives a later fragment the ports of the first one. False if that was never seen. */
static __always_inline bool fragment_find(struct packet *p)
{
	struct fragment_key key = {
		.source = p->source,
		.destination = p->destination,
		.identification = p->identification,
		.protocol = p->protocol,
	};
	const struct fragment_ports *ports = bpf_map_lookup_elem(&weft_fragments, &key);

	if (!ports)
		return false;
	p->source_port = ports->source;
	p->destination_port = ports->destination;
	return true;
}
