/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets a container sends, seen at the host's end of its link. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/tunnel.h"
#include "stage/connection.h"
#include "stage/network.h"
#include "stage/route.h"

SEC("tc")
int endpoint_out(struct __sk_buff *skb)
{
	const struct endpoint *endpoint = endpoint_find(skb->ifindex);
	struct connection c = {};
	struct packet p = {};
	enum verdict verdict;

	if (!endpoint)
		return verdict_finish(skb, &p, DIRECTION_OUT, packet_drop(&p, REASON_NO_ENDPOINT));
	verdict = packet_parse(skb, &p);
	if (verdict == VERDICT_CONTINUE)
		verdict = source_check(skb, &p, endpoint);
	if (verdict == VERDICT_CONTINUE)
		verdict = tunnel_check(&p);
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_find(skb, &p, &c, DIRECTION_OUT);
	if (verdict == VERDICT_CONTINUE) {
		receiver_find(&p, &c);
		verdict = network_check(&p, endpoint, skb->ifindex);
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_check(&p, &c);
	if (verdict == VERDICT_CONTINUE) {
		if (!c.flow)
			p.is_short = route_may_be_short(&p, endpoint);
		connection_make(skb, &p, &c, DIRECTION_OUT);
		verdict = route_choose(skb, &p, endpoint);
	}
	verdict = route_throttle(&p, endpoint, verdict);
	return verdict_finish(skb, &p, DIRECTION_OUT, verdict);
}
