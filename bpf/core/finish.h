/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The one exit of every program. */
#pragma once

/* Counts the packet, gives it to those who capture, and gives the kernel its answer. Filters of others that come behind
 * ours have their say. */
static __always_inline int verdict_finish(struct __sk_buff *skb, const struct packet *p, enum direction direction,
					  const struct settings *settings, enum verdict verdict)
{
	if (knobs.trial) {
		skb->mark = p->rule;
		return verdict == VERDICT_DROP	    ? TRIAL_DROPPED + p->reason
		       : verdict == VERDICT_REDIRECT ? TRIAL_SHORT
						     : TRIAL_PASSED;
	}
	if (settings->flags & SETTING_CAPTURE)
		captures_tell(skb, p, direction, verdict);
	counter_add(p->link, direction, verdict == VERDICT_DROP ? p->reason : REASON_PASSED, skb->len);
	if (verdict == VERDICT_REDIRECT) {
		/* It passes two doors at once. */
		counter_add(p->receiver_link, DIRECTION_IN, REASON_PASSED, skb->len);
		return p->detour ? bpf_redirect(p->detour, BPF_F_INGRESS) : bpf_redirect_peer(p->receiver_link, 0);
	}
	if (verdict == VERDICT_BY)
		return bpf_redirect(p->detour, p->detour_flags);
	if (verdict == VERDICT_ROUTED)
		return bpf_redirect_neigh(p->detour, NULL, 0, 0);
	if (verdict == VERDICT_DROP)
		event_tell(skb, p, direction, EVENT_DROPPED);
	return verdict == VERDICT_DROP || verdict == VERDICT_HEARD ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}
