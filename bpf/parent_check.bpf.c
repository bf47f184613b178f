/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets of containers on a segment that no connection vouches for: they are looked at from all sides, and what passes
 * may be vouched for from now on. `parent_out` sends them here. Walk: ARCHITECTURE.md, "A packet walks on a segment". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/tunnel.h"
#include "stage/connection.h"
#include "stage/network.h"
#include "stage/policy.h"
#include "stage/segment.h"
#include "stage/switch.h"

/* All that is looked at of a packet whose sender is known. */
static __always_inline enum verdict parent_decide(struct __sk_buff *skb, struct packet *p, struct connection *c,
						  const struct endpoint *endpoint, const struct parent *parent,
						  const struct settings *settings)
{
	enum verdict verdict = source_check(skb, p);

	if (verdict == VERDICT_CONTINUE && !segment_is_sent_inside(skb, endpoint))
		verdict = packet_drop(p, REASON_SOURCE_NAMESPACE);
	if (verdict == VERDICT_CONTINUE)
		verdict = tunnel_check(p);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, p, c, DIRECTION_OUT);
		receiver_find(p, c);
		verdict = network_check(p, endpoint->network, endpoint->flags);
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_check(skb, p, c, DIRECTION_OUT);
	if (verdict != VERDICT_DROP)
		segment_note(skb, p, c, parent);
	if (verdict == VERDICT_CONTINUE)
		verdict = policy_decide_out(skb, p, c, endpoint, settings);
	if (verdict != VERDICT_DROP)
		verdict = segment_choose(skb, p, endpoint->network, endpoint->flags);
	if (verdict != VERDICT_DROP) {
		c->generation = settings->generation;
		service_find(skb, p, c, settings);
		connection_make(skb, p, c, DIRECTION_OUT);
		if (mac_is_group(p->destination_mac) && !knobs.trial)
			segment_flood(skb, p, endpoint, parent);
	}
	return verdict;
}

SEC("tc")
int parent_check(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	const struct parent *parent = parent_find(skb->ifindex);
	struct packet p = { .link = skb->ifindex };
	const struct endpoint *endpoint = NULL;
	struct connection c = {};
	enum verdict verdict;

	verdict = parent ? packet_parse(skb, &p) : packet_drop(&p, REASON_NO_ENDPOINT);
	if (parent)
		endpoint = segment_sender(skb, &p, parent);
	if (verdict == VERDICT_CONTINUE && parent)
		verdict = endpoint ? parent_decide(skb, &p, &c, endpoint, parent, &settings)
				   : packet_drop(&p, segment_unknown(parent));
	return verdict_finish(skb, &p, DIRECTION_OUT, &settings, verdict);
}
