/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Services, as sockets on this host see them. Shared with the agent: its Rust side is generated from this file.
 *
 *   a socket's network namespace ─► its view: whose backends it can reach
 *   view, address, protocol, port ─► struct frontend: a set of backends
 *   set, place ─► struct backend
 *
 * A set never changes: another one takes its place, by one write to each frontend that has it. Number 0 is that of no
 * view, no set, and no service. */
#pragma once

/* Ports of services' addresses, all views together. */
#define FRONTENDS_MAX 131072
/* Backends, all sets together. */
#define BACKENDS_MAX 262144
/* Those of sets that some client sticks to. */
#define MEMBERS_MAX 131072
/* Network namespaces: of endpoints, and the host's. */
#define NAMESPACES_MAX 16384
/* Clients that stick to a backend: the one unused for longest goes first. */
#define AFFINITIES_MAX 16384
/* Sockets that were led to a backend, likewise. */
#define TRANSLATIONS_MAX 32768
/* Ports of services that something is counted of. */
#define SERVICE_COUNTS_MAX 65536

/* How long a socket that sends datagrams, each to an address of its own, stays with one backend after the last of them,
 * in ticks of flow.h: what netfilter has for a stream of them. */
#define AFFINITY_SENDER 120

/* A port of an address that is nobody's but a service's. */
struct frontend_key {
	struct address address;
	__u32 view;
	/* Host byte order. */
	__u16 port;
	/* IPPROTO_*. */
	__u8 protocol;
	__u8 pad;
};

struct frontend {
	__u32 set;
	/* Backends in the set; 0 if there are none, and whoever comes is refused. */
	__u32 count;
	/* Number of the service's port. */
	__u32 service;
	/* FRONTEND_*. */
	__u32 flags;
	/* How long a client stays with a backend after its last connection, in ticks of flow.h; 0: not at all. */
	__u32 affinity;
	__u32 pad;
};

/* There are backends, but none that may serve here. */
#define FRONTEND_ELSEWHERE 1

struct backend_key {
	__u32 set;
	/* From 0. */
	__u32 place;
};

struct backend {
	struct address address;
	/* Host byte order. */
	__u16 port;
	__u8 pad[6];
};

/* A backend is in a set. */
struct member_key {
	struct address address;
	__u32 set;
	/* Host byte order. */
	__u16 port;
	__u8 pad[2];
};

/* What the agent knows of a network namespace. */
struct namespace_known {
	__u32 view;
};

struct affinity_key {
	/* The cookie of a network namespace; of a sender of datagrams, that of its socket. */
	__u64 client;
	__u32 service;
	/* Not 0: of a socket. */
	__u32 is_socket;
};

struct affinity {
	struct address address;
	/* Until when, in ticks of flow.h. */
	__u32 until;
	/* Host byte order. */
	__u16 port;
	__u8 pad[2];
};

/* A socket and the backend that it was led to. */
struct translation_key {
	__u64 socket;
	struct address address;
	/* Host byte order. */
	__u16 port;
	__u8 pad[6];
};

/* Where it wanted to go. */
struct translation {
	struct address address;
	/* Number of the service's port. */
	__u32 service;
	/* Host byte order. */
	__u16 port;
	__u8 pad[2];
};

/* Of a port of a service, on one CPU. */
struct service_count {
	/* Connections that were led to a backend; of a socket that sends to changing addresses, datagrams. */
	__u64 connections;
	/* Those that were refused, as there was no backend. */
	__u64 refused;
};
