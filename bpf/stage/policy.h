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
	/* The rule that decides; 0 if none does. Set by `policy_answer`. */
	__u32 rule;
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

/* Whether it is allowed. Not inlined, so that it is verified once. */
__noinline int policy_answer(struct question *q)
{
	const struct policy_verdict *by_identity = NULL, *by_address;
	const struct subject *subject, *of_other;
	struct policy_verdict a = {}, b = {};
	__u32 set, isolated;

	if (!q)
		return 0;
	subject = subject_find(q->link);
	if (!subject)
		return 1;
	set = q->opens ? subject->sets[WAY_EGRESS] : subject->sets[WAY_INGRESS];
	isolated = subject->flags & (q->opens ? SUBJECT_EGRESS_ISOLATED : SUBJECT_INGRESS_ISOLATED);
	if (!set)
		return 1;
	of_other = q->other ? subject_find(q->other) : NULL;
	if (of_other)
		by_identity = policy_verdict_find(policy_of_identity(set, of_other->identity), q->protocol, q->port);
	by_address = policy_verdict_find(policy_of_address(set, &q->address), q->protocol, q->port);
	if (by_identity)
		a = *by_identity;
	if (by_address)
		b = *by_address;
	return policy_weigh(q, &a, &b, isolated);
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

/* Asks one end. */
static __always_inline bool policy_allows(struct packet *p, __u32 link, __u32 other, bool opens,
					  const struct address *address, __u16 port)
{
	struct question q = {
		.link = link,
		.other = other,
		.address = *address,
		.port = port,
		.protocol = p->protocol,
		.opens = opens,
	};

	if (policy_answer(&q))
		return true;
	p->rule = q.rule;
	return false;
}

/* Drops what the sender's policies do not allow; and on the short way, where nobody else asks, the receiver's. */
static __always_inline enum verdict policy_decide_out(struct packet *p, const struct connection *c,
						      const struct endpoint *endpoint, const struct settings *settings)
{
	bool opens = c->flow ? c->flow->opener == c->own : true;
	__u16 port = opens ? p->destination_port : p->source_port;

	if (!(settings->flags & SETTING_POLICIES) || policy_is_silent(p, c, endpoint) || p->receiver_link == p->link)
		return VERDICT_CONTINUE;
	if (opens ? host_has(&p->destination) : c->flow && c->flow->flags & FLOW_BY_HOST)
		return VERDICT_CONTINUE;
	if (!policy_allows(p, p->link, p->receiver_link, opens, &p->destination, port))
		return packet_drop(p, opens ? REASON_POLICY_EGRESS : REASON_POLICY_INGRESS);
	if (p->is_short && !policy_allows(p, p->receiver_link, p->link, !opens, &p->source, port))
		return packet_drop(p, opens ? REASON_POLICY_INGRESS : REASON_POLICY_EGRESS);
	return VERDICT_CONTINUE;
}

/* Drops what the receiver's policies do not allow. Whether the other end is an endpoint of this host, its own door has
 * said. */
static __always_inline enum verdict policy_decide_in(struct packet *p, struct connection *c,
						     const struct endpoint *endpoint, const struct settings *settings)
{
	bool opens = c->flow ? c->flow->opener == c->own : false;
	__u16 port = opens ? p->source_port : p->destination_port;
	__u32 other = c->flow ? flow_link(c->flow, c->from) : 0;
	const struct holder *holder;

	if (!(settings->flags & SETTING_POLICIES) || policy_is_silent(p, c, endpoint) || other == p->link)
		return VERDICT_CONTINUE;
	/* What nobody sent, no door has seen. */
	if (knobs.trial && !c->flow) {
		holder = address_find(&p->source);
		other = holder ? holder->link : 0;
	}
	c->decided = settings->generation;
	if (c->flow ? c->flow->flags & FLOW_BY_HOST || flow_decided(c->flow, c->own) == c->decided : p->is_hosts)
		return VERDICT_CONTINUE;
	if (opens && host_has(&p->source))
		return VERDICT_CONTINUE;
	if (policy_allows(p, p->link, other, opens, &p->source, port))
		return VERDICT_CONTINUE;
	return packet_drop(p, opens ? REASON_POLICY_EGRESS : REASON_POLICY_INGRESS);
}
