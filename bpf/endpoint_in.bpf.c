/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets to a container, seen at the host's end of its link. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"

SEC("tc")
int endpoint_in(struct __sk_buff *skb)
{
	struct connection c = {};
	struct packet p = {};
	enum verdict verdict;

	if (!endpoint_find(skb->ifindex))
		return verdict_finish(skb, &p, DIRECTION_IN, packet_drop(&p, REASON_NO_ENDPOINT));
	verdict = packet_parse(skb, &p);
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_find(skb, &p, &c, DIRECTION_IN);
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_check(&p, &c);
	if (verdict == VERDICT_CONTINUE)
		connection_make(skb, &p, &c, DIRECTION_IN);
	return verdict_finish(skb, &p, DIRECTION_IN, verdict);
}
