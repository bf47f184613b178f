/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets to a container, seen at the host's end of its link. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"

SEC("tc")
int endpoint_in(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	struct connection c = {};
	struct packet p = { .link = skb->ifindex };
	enum verdict verdict;

	verdict = endpoint_find(skb->ifindex) ? packet_parse(skb, &p) : packet_drop(&p, REASON_NO_ENDPOINT);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, &p, &c, DIRECTION_IN);
		verdict = connection_check(skb, &p, &c, DIRECTION_IN);
	}
	if (verdict == VERDICT_CONTINUE)
		connection_make(skb, &p, &c, DIRECTION_IN);
	return verdict_finish(skb, &p, DIRECTION_IN, &settings, verdict);
}
