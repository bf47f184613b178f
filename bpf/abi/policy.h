/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What policies come to, for endpoints of this host. Shared with the agent: its Rust side is generated from this file.
 *
 *   a link ─► struct standing: its identity, and a set for each way
 *   set, the other end's identity ─► a table ─┐
 *   set, the other end's address ──► a table ─┴─ protocol, port ─► struct policy_verdict, of each
 *
 * Number 0 is that of no identity, of the set without rules, and of the table without entries. */
#pragma once

/* What sets say about identities, all sets together. */
#define POLICY_PEERS_MAX 262144
/* What sets say about prefixes, all sets together. */
#define POLICY_BLOCKS_MAX 131072
/* Prefixes of ports, all tables together. */
#define POLICY_PORTS_MAX 131072
/* Rules that something is counted of. */
#define POLICY_COUNTS_MAX 65536

/* Which way a connection is opened, as an endpoint sees it. */
enum way {
	/* To it. */
	WAY_INGRESS = 0,
	/* By it. */
	WAY_EGRESS = 1,
};

/* What holds for an endpoint. */
struct standing {
	/* Of its namespace, labels and port names. */
	__u32 identity;
	/* What holds for it, by way. */
	__u32 sets[2];
	/* SUBJECT_*. */
	__u32 flags;
	/* What would hold if nothing were in audit, by way; 0 where nothing is. */
	__u32 audited[2];
};

/* An endpoint as policies see it, by the number of its link on the host. Of the two, the one counts that the settings
 * say; both are the same, but while something changes. */
struct subject {
	struct standing standings[2];
};

/* It gets what some rule of a NetworkPolicy accepts, and nothing else. */
#define SUBJECT_INGRESS_ISOLATED 1
/* It may open what some rule of a NetworkPolicy accepts, and nothing else. */
#define SUBJECT_EGRESS_ISOLATED 2
/* The same if nothing were in audit. */
#define SUBJECT_INGRESS_ISOLATED_AUDITED 4
#define SUBJECT_EGRESS_ISOLATED_AUDITED 8

struct policy_peer {
	__u32 set;
	/* The other end's. */
	__u32 identity;
};

/* What a set says of an identity: a table, 0 if nothing. Of the two, the one counts that the settings say. */
struct policy_said {
	__u32 tables[2];
};

/* `length` counts the bits behind it. */
struct policy_block {
	__u32 length;
	__u32 set;
	/* The other end's address begins so. */
	struct address prefix;
};

/* Bits of `set` in front of the prefix. */
#define POLICY_SET_BITS 32

/* `length` counts the bits behind it. */
struct policy_port {
	__u32 length;
	__u32 table;
	/* IPPROTO_*. */
	__u8 protocol;
	/* Network byte order. */
	__u8 port[2];
	__u8 pad;
};

/* Bits of `table` in front of the protocol, and of both in front of the port. */
#define POLICY_TABLE_BITS 32
#define POLICY_PROTOCOL_BITS 40
#define POLICY_PORT_BITS 56

/* What a rule says. */
enum policy_action {
	POLICY_ACCEPT = 0,
	POLICY_DENY = 1,
	/* The next tier has its say. */
	POLICY_PASS = 2,
};

/* What is said about a connection: of each tier, the rule that has its say first. */
struct policy_verdict {
	/* Its place among all rules of the set, from 1: the lowest goes first. 0: none says anything. */
	__u32 admin_rank;
	__u32 admin_rule;
	/* A rule of a NetworkPolicy that accepts it; 0 if none does. */
	__u32 network_rule;
	__u32 baseline_rank;
	__u32 baseline_rule;
	/* POLICY_*. */
	__u8 admin_action;
	__u8 baseline_action;
	__u8 pad[2];
};

/* What a rule has decided. */
struct policy_count {
	/* Connections that it let begin. */
	__u64 accepted;
	/* Packets that it dropped. */
	__u64 denied;
	/* Packets that passed, and that it would have dropped if nothing were in audit. */
	__u64 audited;
};
