/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets a container sends that no connection vouches for: they are looked at from all sides, and what passes may be
 * vouched for from now on. `endpoint_out` sends them here. Walk: ARCHITECTURE.md, "A packet walks". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/tunnel.h"
#include "stage/connection.h"
#include "stage/network.h"
#include "stage/policy.h"
#include "stage/route.h"

SEC("tc")
int endpoint_check(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	const struct endpoint *endpoint = endpoint_find(skb->ifindex);
	struct connection c = {};
	struct packet p = { .link = skb->ifindex };
	enum verdict verdict;

	verdict = endpoint ? packet_parse(skb, &p) : packet_drop(&p, REASON_NO_ENDPOINT);
	if (verdict == VERDICT_CONTINUE)
		verdict = source_check(skb, &p);
	if (verdict == VERDICT_CONTINUE)
		verdict = tunnel_check(&p);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, &p, &c, DIRECTION_OUT);
		receiver_find(&p, &c);
		verdict = network_check(&p, endpoint->network, endpoint->flags);
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_check(skb, &p, &c, DIRECTION_OUT);
	if (verdict == VERDICT_CONTINUE) {
		if (!c.flow)
			p.is_short = route_may_be_short(&p, &c, endpoint, &settings);
		verdict = policy_decide_out(skb, &p, &c, endpoint, &settings);
	}
	if (verdict == VERDICT_CONTINUE) {
		route_note(&p, &c, endpoint, &settings);
		service_find(skb, &p, &c, &settings);
		connection_make(skb, &p, &c, DIRECTION_OUT);
		verdict = route_choose(skb, &p, &settings);
	}
	verdict = route_detour(&p, endpoint, verdict);
	return verdict_finish(skb, &p, DIRECTION_OUT, &settings, verdict);
}
