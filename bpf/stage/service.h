/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From a service's address to one of its backends, before there is a packet: the socket is led there, and all that it
 * sends needs no translation.
 *
 *   connect   ─► service_lead ─┐                   ┌─► recvmsg, getpeername: service_name, back again
 *   sendmsg   ─► service_lead ─┴─ weft_translations ┘ */
#pragma once

/* A set may be replaced between two looks; it is not twice in a row but where a service has nothing but changes. */
#define CHOICES_MAX 3

/* Who stays with a backend, if somebody does: where a service wants it, all of a container's; else each socket that
 * sends datagrams. */
static __always_inline bool service_affinity(struct bpf_sock_addr *ctx, const struct frontend *frontend, bool is_sent,
					     struct affinity_key *key)
{
	key->service = frontend->service;
	if (frontend->affinity) {
		key->client = bpf_get_netns_cookie(ctx);
		return true;
	}
	if (!is_sent)
		return false;
	key->client = bpf_get_socket_cookie(ctx);
	key->is_socket = 1;
	return true;
}

/* A backend for the socket; false if the frontend's set was replaced meanwhile. */
static __always_inline bool service_choose(struct bpf_sock_addr *ctx, const struct frontend *frontend, bool is_sent,
					   struct backend *chosen)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> FLOW_TICK_BITS;
	__u32 lasts = frontend->affinity ? frontend->affinity : AFFINITY_SENDER;
	struct affinity_key key = {};
	bool sticks = service_affinity(ctx, frontend, is_sent, &key);
	const struct affinity *affinity = sticks ? affinity_find(&key, frontend->set, now) : NULL;
	const struct backend *backend;
	struct affinity next = {};

	if (affinity) {
		chosen->address = affinity->address;
		chosen->port = affinity->port;
		if (affinity->until == now + lasts)
			return true;
	} else {
		backend = backend_choose(frontend);
		if (!backend)
			return false;
		*chosen = *backend;
	}
	if (sticks) {
		next.address = chosen->address;
		next.port = chosen->port;
		next.until = now + lasts;
		bpf_map_update_elem(&weft_affinities, &key, &next, BPF_ANY);
	}
	return true;
}

/* Remembers where a socket wanted to go. */
static __always_inline void translation_note(struct bpf_sock_addr *ctx, const struct frontend_key *from, __u32 service,
					     const struct backend *to)
{
	struct translation_key key = { .socket = bpf_get_socket_cookie(ctx), .address = to->address, .port = to->port };
	struct translation translation = { .address = from->address, .port = from->port, .service = service };
	const struct translation *known = bpf_map_lookup_elem(&weft_translations, &key);

	if (known && known->service == service && known->port == from->port &&
	    address_equal(&known->address, &from->address))
		return;
	bpf_map_update_elem(&weft_translations, &key, &translation, BPF_ANY);
}

/* Leads a socket that is to be connected, or sends to an address (`is_sent`), to a backend, if that is a service's
 * address. */
static __always_inline int service_lead(struct bpf_sock_addr *ctx, enum family family, bool is_sent)
{
	struct frontend_key key = { .port = socket_port(ctx), .protocol = ctx->protocol };
	const struct frontend *frontend;
	struct backend backend = {};
	__u32 service;

	key.view = view_find(bpf_get_netns_cookie(ctx));
	if (!key.view || socket_is_on_loopback(ctx, family))
		return SOCKET_GO_ON;
	socket_read(ctx, family, &key.address);
	for (int n = 0; n < CHOICES_MAX; n++) {
		frontend = frontend_find(&key);
		if (!frontend)
			return SOCKET_GO_ON;
		service = frontend->service;
		if (!frontend->count) {
			service_note(service, true);
			bpf_set_retval(frontend->flags & FRONTEND_ELSEWHERE ? -EHOSTUNREACH : -ECONNREFUSED);
			return SOCKET_REFUSE;
		}
		if (service_choose(ctx, frontend, is_sent, &backend)) {
			service_note(service, false);
			translation_note(ctx, &key, service, &backend);
			socket_write(ctx, family, &backend.address, backend.port);
			return SOCKET_GO_ON;
		}
	}
	bpf_set_retval(-EAGAIN);
	return SOCKET_REFUSE;
}

/* Tells a socket that was led to a backend the address that it wanted to go to. */
static __always_inline int service_name(struct bpf_sock_addr *ctx, enum family family)
{
	const struct translation *translation;
	struct address address;

	if (!view_find(bpf_get_netns_cookie(ctx)))
		return SOCKET_GO_ON;
	socket_read(ctx, family, &address);
	translation = translation_find(bpf_get_socket_cookie(ctx), &address, socket_port(ctx));
	if (translation)
		socket_write(ctx, family, &translation->address, translation->port);
	return SOCKET_GO_ON;
}
