/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Addresses of both families in one shape. */
#pragma once

static __always_inline void address_of_ipv4(struct address *address, __be32 ip)
{
	__builtin_memset(address, 0, sizeof(*address));
	address->bytes[10] = 0xff;
	address->bytes[11] = 0xff;
	__builtin_memcpy(&address->bytes[12], &ip, sizeof(ip));
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	const __u64 *x = (const void *)a, *y = (const void *)b;

	return x[0] == y[0] && x[1] == y[1];
}

static __always_inline bool address_is_zero(const struct address *a)
{
	const __u64 *x = (const void *)a;

	return !(x[0] | x[1]);
}

static __always_inline bool address_is_ipv4(const struct address *a)
{
	const __u32 *x = (const void *)a;

	return !x[0] && !x[1] && x[2] == bpf_htonl(0xffff);
}

/* 0.0.0.0 or ::, the address of who has none yet. */
static __always_inline bool address_is_unspecified(const struct address *a)
{
	const __u32 *x = (const void *)a;

	return address_is_zero(a) || (address_is_ipv4(a) && !x[3]);
}

/* 0.0.0.0/32 aside, what no single host has: multicast (RFC 5771, RFC 4291) and 255.255.255.255. */
static __always_inline bool address_is_group(const struct address *a)
{
	const __u32 *x = (const void *)a;

	if (address_is_ipv4(a))
		return (a->bytes[12] & 0xf0) == 0xe0 || x[3] == 0xffffffff;
	return a->bytes[0] == 0xff;
}
