/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Sockets of this host's processes, containers' or not, that go to services. Each family has its programs: the kernel
 * has hooks of its own for either. Walk: ARCHITECTURE.md, "A socket is led to a service". */
#include "core/socket.h"
#include "abi/flow.h"
#include "stage/service.h"

SEC("cgroup/connect4")
int socket_connect4(struct bpf_sock_addr *ctx)
{
	return service_lead(ctx, FAMILY_IPV4, false);
}

SEC("cgroup/connect6")
int socket_connect6(struct bpf_sock_addr *ctx)
{
	return service_lead(ctx, FAMILY_IPV6, false);
}

SEC("cgroup/sendmsg4")
int socket_sendmsg4(struct bpf_sock_addr *ctx)
{
	return service_lead(ctx, FAMILY_IPV4, true);
}

SEC("cgroup/sendmsg6")
int socket_sendmsg6(struct bpf_sock_addr *ctx)
{
	return service_lead(ctx, FAMILY_IPV6, true);
}

SEC("cgroup/recvmsg4")
int socket_recvmsg4(struct bpf_sock_addr *ctx)
{
	return service_name(ctx, FAMILY_IPV4);
}

SEC("cgroup/recvmsg6")
int socket_recvmsg6(struct bpf_sock_addr *ctx)
{
	return service_name(ctx, FAMILY_IPV6);
}

SEC("cgroup/getpeername4")
int socket_getpeername4(struct bpf_sock_addr *ctx)
{
	return service_name(ctx, FAMILY_IPV4);
}

SEC("cgroup/getpeername6")
int socket_getpeername6(struct bpf_sock_addr *ctx)
{
	return service_name(ctx, FAMILY_IPV6);
}
