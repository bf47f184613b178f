/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets to a container, seen at the host's end of its link. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"

SEC("tc")
int endpoint_in(struct __sk_buff *skb)
{
	struct packet p = {};

	if (!endpoint_find(skb->ifindex))
		return verdict_finish(skb, &p, DIRECTION_IN, packet_drop(&p, REASON_NO_ENDPOINT));
	return verdict_finish(skb, &p, DIRECTION_IN, VERDICT_PASS);
}
