/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which namespace the socket that sent a packet is of. A frame says whatever its sender writes into it; the socket that
 * it came from is known to the kernel alone. */
#pragma once

/* What is read of the kernel's own structures. Where it is in them, is looked up when the program is loaded. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

/* The part that all kinds of sockets have, those of connections that are being opened or are over, too. */
struct sock_common {
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
};

struct sk_buff {
	struct sock *sk;
};

#pragma clang attribute pop

/* Leads from what a program is given to the kernel's own structure (Linux 6.2 and newer; kernel/bpf/helpers.c). */
extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;

/* The namespace's inode, as nsfs has it. 0: no socket is known, as with what a router passes on, or the kernel says by
 * itself; or this kernel does not tell. */
static __always_inline __u32 sender_namespace(struct __sk_buff *skb)
{
	const struct sk_buff *buffer;
	const struct sock *socket;

	if (!bpf_cast_to_kern_ctx)
		return 0;
	buffer = bpf_cast_to_kern_ctx(skb);
	socket = buffer->sk;
	return socket ? socket->__sk_common.skc_net.net->ns.inum : 0;
}
