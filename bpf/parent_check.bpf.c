/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets of containers on a segment that no connection vouches for: they are looked at from all sides, and what passes
 * may be vouched for from now on. `parent_out` sends them here. Walk: ARCHITECTURE.md, "A packet walks on a segment". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/tunnel.h"
#include "stage/connection.h"
#include "stage/network.h"
#include "stage/segment.h"
#include "stage/switch.h"

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
		verdict = endpoint ? source_check(skb, &p) : packet_drop(&p, segment_unknown(parent));
	if (verdict == VERDICT_CONTINUE && endpoint && !segment_is_sent_inside(skb, endpoint))
		verdict = packet_drop(&p, REASON_SOURCE_NAMESPACE);
	if (verdict == VERDICT_CONTINUE)
		verdict = tunnel_check(&p);
	if (verdict == VERDICT_CONTINUE) {
		connection_find(skb, &p, &c, DIRECTION_OUT);
		receiver_find(&p, &c);
		if (endpoint)
			verdict = network_check(&p, endpoint);
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = connection_check(skb, &p, &c, DIRECTION_OUT);
	if (verdict != VERDICT_DROP && endpoint && parent) {
		segment_note(skb, &p, &c, parent);
		verdict = segment_choose(skb, &p, endpoint, parent);
	}
	if (verdict != VERDICT_DROP && endpoint && parent) {
		c.generation = settings.generation;
		connection_make(skb, &p, &c, DIRECTION_OUT);
		if (mac_is_group(p.destination_mac) && !knobs.trial)
			segment_flood(skb, &p, endpoint, parent);
	}
	return verdict_finish(skb, &p, DIRECTION_OUT, &settings, verdict);
}
