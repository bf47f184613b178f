/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Packets that containers send on a segment (macvlan, ipvlan), seen at their parent, on the host: those of connections
 * that the door knows all of go on at once, all others by `parent_check`. Whose they are, the connection says, too.
 * Walk: ARCHITECTURE.md, "A packet walks on a segment". */
#include "core/program.h"
#include "stage/source.h"
#include "stage/connection.h"
#include "stage/network.h"
#include "stage/segment.h"
#include "stage/switch.h"

SEC("tc")
int parent_out(struct __sk_buff *skb)
{
	struct settings settings = settings_now();
	const struct endpoint *endpoint;
	struct connection c = {};
	struct packet p = {};
	enum verdict verdict;

	if (packet_parse(skb, &p) != VERDICT_CONTINUE)
		jump(skb, HOOK_PARENT_CHECK);
	connection_find_sender(skb, &p, &c);
	if (!connection_is_vouched(skb, &p, &c, &settings))
		jump(skb, HOOK_PARENT_CHECK);
	if (segment_goes_straight(skb, &p, &c)) {
		connection_make(skb, &p, &c, DIRECTION_OUT);
		return verdict_finish(skb, &p, DIRECTION_OUT, &settings, segment_send_straight(skb));
	}
	endpoint = endpoint_find(p.link);
	if (!endpoint || endpoint->parent != skb->ifindex || !segment_is_sent_inside(skb, endpoint))
		jump(skb, HOOK_PARENT_CHECK);
	verdict = segment_choose_short(skb, &p, endpoint);
	if (verdict == VERDICT_CONTINUE)
		verdict = segment_choose(skb, &p, endpoint->network, endpoint->flags);
	if (verdict != VERDICT_DROP)
		connection_make(skb, &p, &c, DIRECTION_OUT);
	return verdict_finish(skb, &p, DIRECTION_OUT, &settings, verdict);
}
