/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets to a container, seen at the host's end of its link. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"
#include "stage/policy.h"

SEC("tc")
int endpoint_in(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	struct connection c = {};
	const struct endpoint *endpoint = endpoint_find(skb->ifindex);
	struct packet p = { .link = skb->ifindex, .is_hosts = !skb->ingress_ifindex };
	enum verdict verdict;

	verdict = endpoint ? packet_parse(skb, &p) : packet_drop(&p, REASON_NO_ENDPOINT);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, &p, &c, DIRECTION_IN);
		verdict = connection_check(skb, &p, &c, DIRECTION_IN);
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = policy_decide_in(skb, &p, &c, endpoint, &settings);
	if (verdict == VERDICT_CONTINUE)
		connection_make(skb, &p, &c, DIRECTION_IN);
	return verdict_finish(skb, &p, DIRECTION_IN, &settings, verdict);
}
