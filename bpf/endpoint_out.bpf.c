/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets a container sends, seen at the host's end of its link: those of connections that the door knows all of go on
 * at once, all others by `endpoint_check`. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"
#include "stage/route.h"

SEC("tc")
int endpoint_out(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	struct connection c = {};
	struct packet p = { .link = skb->ifindex };

	if (packet_parse(skb, &p) != VERDICT_CONTINUE)
		jump(skb, HOOK_ENDPOINT_CHECK);
	connection_find(skb, &p, &c, DIRECTION_OUT);
	if (!connection_is_vouched(skb, &p, &c, &settings))
		jump(skb, HOOK_ENDPOINT_CHECK);
	connection_make(skb, &p, &c, DIRECTION_OUT);
	return verdict_finish(skb, &p, DIRECTION_OUT, &settings, route_choose(skb, &p, &settings));
}
