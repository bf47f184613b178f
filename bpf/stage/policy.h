/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Whether policies allow a connection, as one of its ends sees it. What is decided holds for all of its packets, both
 * ways, until the settings' generation changes.
 *
 *   an end that opened it:  its egress, by the other end and the port there
 *   the other one:          its ingress, by who opened it and its own port
 *
 * The host and its endpoints always reach each other (Kubernetes, "Network Policies"): the host by where its packets
 * come from, since addresses can be written by anybody. */
#pragma once

/* Internet Group Management Protocol (RFC 3376): between a link's neighbours, as MLD is. */
#define PROTOCOL_IGMP 2

/* What is asked of an end's policies. */
struct question {
	/* Numbers of the link of the end, and of that of the other end: 0 if that is no endpoint of this host. */
	__u32 link;
	__u32 other;
	/* The other end's. */
	struct address address;
	/* Where the connection is opened to; host byte order. */
	__u16 port;
	__u8 protocol;
	/* By the end; else by the other one. */
	__u8 opens;
	/* The connection begins. */
	__u8 begins;
	/* As the settings say. */
	__u8 is_second;
	/* The rule that decides; 0 if none does. Set by `policy_answer`. */
	__u32 rule;
};

/* What policies say. */
enum answer {
	ANSWER_DENIED = 0,
	ANSWER_ALLOWED = 1,
	/* It is allowed, and would not be if nothing were in audit. */
	ANSWER_AUDITED = 2,
};

/* The rule that goes first, of two verdicts: 0 if neither has any. */
static __always_inline bool policy_is_first(__u32 rank, __u32 other)
{
	return rank && (!other || rank <= other);
}

/* What the tiers say, as `decide` of crates/policy has it. */
static __always_inline int policy_weigh(struct question *q, const struct policy_verdict *a,
					const struct policy_verdict *b, bool is_isolated)
{
	const struct policy_verdict *first;

	if (a->admin_rank || b->admin_rank) {
		first = policy_is_first(a->admin_rank, b->admin_rank) ? a : b;
		if (first->admin_action != POLICY_PASS) {
			q->rule = first->admin_rule;
			return first->admin_action == POLICY_ACCEPT;
		}
	}
	if (is_isolated) {
		q->rule = a->network_rule ? a->network_rule : b->network_rule;
		return q->rule != 0;
	}
	if (a->baseline_rank || b->baseline_rank) {
		first = policy_is_first(a->baseline_rank, b->baseline_rank) ? a : b;
		if (first->baseline_action != POLICY_PASS) {
			q->rule = first->baseline_rule;
			return first->baseline_action == POLICY_ACCEPT;
		}
	}
	return 1;
}

/* Whether a set allows it. `identity` is the other end's, 0 if it has none. Not inlined, so that it is verified once. */
__noinline int policy_ask(struct question *q, __u32 set, __u32 identity, __u32 is_isolated)
{
	const struct policy_verdict *by_identity = NULL, *by_address;
	struct policy_verdict a = {}, b = {};

	if (!q)
		return 0;
	q->rule = 0;
	if (!set)
		return 1;
	if (identity)
		by_identity = policy_verdict_find(policy_of_identity(set, identity, q->is_second), q->protocol, q->port);
	by_address = policy_verdict_find(policy_of_address(set, &q->address), q->protocol, q->port);
	if (by_identity)
		a = *by_identity;
	if (by_address)
		b = *by_address;
	return policy_weigh(q, &a, &b, is_isolated);
}

static __always_inline void policy_count(const struct question *q, enum answer answer)
{
	struct policy_count *count;

	if (knobs.trial || !q->rule || (answer == ANSWER_ALLOWED && !q->begins))
		return;
	count = policy_count_of(q->rule);
	if (!count)
		return;
	if (answer == ANSWER_DENIED)
		count->denied += 1;
	else if (answer == ANSWER_AUDITED)
		count->audited += 1;
	else
		count->accepted += 1;
}

/* What an end's policies say. Not inlined, so that it is verified once. */
__noinline int policy_answer(struct question *q)
{
	const struct standing *own, *other;
	__u32 set, audited, isolated, identity;

	if (!q)
		return ANSWER_DENIED;
	own = standing_find(q->link, q->is_second);
	if (!own)
		return ANSWER_ALLOWED;
	other = q->other ? standing_find(q->other, q->is_second) : NULL;
	identity = other ? other->identity : 0;
	set = q->opens ? own->sets[WAY_EGRESS] : own->sets[WAY_INGRESS];
	isolated = own->flags & (q->opens ? SUBJECT_EGRESS_ISOLATED : SUBJECT_INGRESS_ISOLATED);
	if (!policy_ask(q, set, identity, isolated)) {
		policy_count(q, ANSWER_DENIED);
		return ANSWER_DENIED;
	}
	policy_count(q, ANSWER_ALLOWED);
	audited = q->opens ? own->audited[WAY_EGRESS] : own->audited[WAY_INGRESS];
	if (!audited)
		return ANSWER_ALLOWED;
	isolated = own->flags & (q->opens ? SUBJECT_EGRESS_ISOLATED_AUDITED : SUBJECT_INGRESS_ISOLATED_AUDITED);
	if (policy_ask(q, audited, identity, isolated))
		return ANSWER_ALLOWED;
	policy_count(q, ANSWER_AUDITED);
	return ANSWER_AUDITED;
}

/* Whether policies have no say: among a link's neighbours, and with who leases addresses to the endpoint. */
static __always_inline bool policy_is_silent(const struct packet *p, const struct connection *c,
					     const struct endpoint *endpoint)
{
	if (p->ethertype == ETH_P_ARP)
		return true;
	if (c->belongs == BELONGS_TO_NONE)
		return p->protocol == IPPROTO_ICMPV6 || p->protocol == PROTOCOL_IGMP || !address_is_group(&p->destination) ||
		       (endpoint->flags & ENDPOINT_LEASES && p->protocol == IPPROTO_UDP);
	return false;
}

/* Asks one end, and drops what it does not allow. What would be dropped if nothing were in audit is told of. */
static __always_inline enum verdict policy_apply(struct __sk_buff *skb, struct packet *p, enum direction direction,
						 struct question *q)
{
	enum reason reason = q->opens ? REASON_POLICY_EGRESS : REASON_POLICY_INGRESS;
	int answer = policy_answer(q);

	if (answer == ANSWER_ALLOWED)
		return VERDICT_CONTINUE;
	p->rule = q->rule;
	if (answer == ANSWER_DENIED)
		return packet_drop(p, reason);
	if (!knobs.trial) {
		p->reason = reason;
		event_tell(skb, p, direction, EVENT_AUDITED);
	}
	p->reason = REASON_PASSED;
	p->rule = 0;
	return VERDICT_CONTINUE;
}

/* Drops what the sender's policies do not allow; and on the short way, where nobody else asks, the receiver's. */
static __always_inline enum verdict policy_decide_out(struct __sk_buff *skb, struct packet *p,
						      const struct connection *c, const struct endpoint *endpoint,
						      const struct settings *settings)
{
	bool opens = c->flow ? c->flow->opener == c->own : true;
	struct question q = {
		.link = p->link,
		.other = p->receiver_link,
		.address = p->destination,
		.port = opens ? p->destination_port : p->source_port,
		.protocol = p->protocol,
		.opens = opens,
		.begins = !c->flow,
		.is_second = !!(settings->flags & SETTING_SECOND),
	};
	enum verdict verdict;

	if (!(settings->flags & SETTING_POLICIES) || policy_is_silent(p, c, endpoint) || p->receiver_link == p->link)
		return VERDICT_CONTINUE;
	if (opens ? host_has(&p->destination) : c->flow && c->flow->flags & FLOW_BY_HOST)
		return VERDICT_CONTINUE;
	verdict = policy_apply(skb, p, DIRECTION_OUT, &q);
	if (verdict != VERDICT_CONTINUE || !p->is_short)
		return verdict;
	q.link = p->receiver_link;
	q.other = p->link;
	q.address = p->source;
	q.opens = !opens;
	return policy_apply(skb, p, DIRECTION_OUT, &q);
}

/* Drops what the receiver's policies do not allow. Whether the other end is an endpoint of this host, its own door has
 * said. */
static __always_inline enum verdict policy_decide_in(struct __sk_buff *skb, struct packet *p, struct connection *c,
						     const struct endpoint *endpoint, const struct settings *settings)
{
	bool opens = c->flow ? c->flow->opener == c->own : false;
	struct question q = {
		.link = p->link,
		.other = c->flow ? flow_link(c->flow, c->from) : 0,
		.address = p->source,
		.port = opens ? p->source_port : p->destination_port,
		.protocol = p->protocol,
		.opens = opens,
		/* The sender's door asked for one on the short way, and the opener's for what it opened. */
		.begins = !opens && !p->is_short && (!c->flow || !flow_decided(c->flow, c->own)),
		.is_second = !!(settings->flags & SETTING_SECOND),
	};
	const struct holder *holder;
	enum verdict verdict;

	if (!(settings->flags & SETTING_POLICIES) || policy_is_silent(p, c, endpoint) || q.other == p->link)
		return VERDICT_CONTINUE;
	/* What nobody sent, no door has seen. */
	if (knobs.trial && !c->flow) {
		holder = address_find(&p->source);
		q.other = holder ? holder->link : 0;
	}
	c->decided = settings->generation;
	if (c->flow ? c->flow->flags & FLOW_BY_HOST || flow_decided(c->flow, c->own) == c->decided : p->is_hosts)
		return VERDICT_CONTINUE;
	if (opens && host_has(&p->source))
		return VERDICT_CONTINUE;
	verdict = policy_apply(skb, p, DIRECTION_IN, &q);
	if (verdict != VERDICT_CONTINUE || !c->flow || !q.other || flow_generation(c->flow, c->from) == c->decided)
		return verdict;
	/* The sender's door let it through by what held before: what holds now is for both ends. */
	q.link = q.other;
	q.other = p->link;
	q.address = p->destination;
	q.opens = !opens;
	q.begins = false;
	return policy_apply(skb, p, DIRECTION_IN, &q);
}
