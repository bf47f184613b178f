/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What every program at sockets begins with: their addresses, of both families in one shape. */
#pragma once

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/in.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../abi/endpoint.h"
#include "address.h"
#include "service.h"

/* The kernel's helpers ask for a licence that GPL programs may link with. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* What a program at a socket answers. */
#define SOCKET_REFUSE 0
#define SOCKET_GO_ON 1

enum family {
	FAMILY_IPV4,
	FAMILY_IPV6,
};

/* The other end, as the socket's owner named it, or is to be told. */
static __always_inline void socket_read(const struct bpf_sock_addr *ctx, enum family family, struct address *address)
{
	__u32 *words = (void *)address;

	if (family == FAMILY_IPV4) {
		address_of_ipv4(address, ctx->user_ip4);
		return;
	}
	/* Word by word: the kernel allows nothing else. */
	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
}

static __always_inline void socket_write(struct bpf_sock_addr *ctx, enum family family, const struct address *address,
					 __u16 port)
{
	const __u32 *words = (const void *)address;

	ctx->user_port = bpf_htons(port);
	if (family == FAMILY_IPV4) {
		ctx->user_ip4 = words[3];
		return;
	}
	ctx->user_ip6[0] = words[0];
	ctx->user_ip6[1] = words[1];
	ctx->user_ip6[2] = words[2];
	ctx->user_ip6[3] = words[3];
}

static __always_inline __u16 socket_port(const struct bpf_sock_addr *ctx)
{
	return bpf_ntohs((__u16)ctx->user_port);
}

/* Whether the socket was given an address of the loopback (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3), by which
 * it reaches nobody else. */
static __always_inline bool socket_is_on_loopback(const struct bpf_sock_addr *ctx, enum family family)
{
	const struct bpf_sock *socket = ctx->sk;

	if (!socket)
		return false;
	if (family == FAMILY_IPV4)
		return (socket->src_ip4 & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	if (socket->src_ip6[0] || socket->src_ip6[1])
		return false;
	if (socket->src_ip6[2] == bpf_htonl(0xffff))
		return (socket->src_ip6[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !socket->src_ip6[2] && socket->src_ip6[3] == bpf_htonl(1);
}
