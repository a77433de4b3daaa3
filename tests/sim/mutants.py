#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Deliberate faults that the simulator must find: `make sim-mutants`.

A mutant is a file, a text that stands in it exactly once, and what stands there instead. The
sources are not touched: the changed copy is compiled into a folder of its own and linked with the
objects that `make` has built for build/sim/mr-sim; then seeds run until one fails. A mutant whose
text is gone, or stands there twice, has to be brought up to date and counts as not found.
"""
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SIM_BUILD", os.path.join(ROOT, "build"))
SEEDS = 1500
SECONDS = 240

Mutant = namedtuple("Mutant", "name file old new")

MUTANTS = [Mutant(*fields) for fields in [
    # the send window and the congestion window
    ("window_off_by_one", "tcp/output.c",
     "c->snd_wnd > before ? c->snd_wnd - before : 0);",
     "c->snd_wnd + 1 > before ? c->snd_wnd + 1 - before : 0);"),
    ("congestion_window_ignored", "tcp/output.c",
     "min_u32(cwnd > pipe ? cwnd - pipe : 0,", "min_u32(cwnd | 0xffffff,"),
    ("peer_window_scaled_twice", "tcp/ack.c",
     "(uint32_t)seg->wnd << (seg->flags & MR_SYN ? 0 : c->snd_shift);",
     "(uint32_t)seg->wnd << (seg->flags & MR_SYN ? 0 : 2 * c->snd_shift);"),
    ("window_never_updated", "tcp/ack.c", "\tc->snd_wl2 = seg->ack;",
     "\tc->snd_wl2 = seg->ack + 0x10000000;"),
    # timers
    ("retransmission_timer_forgotten", "tcp/timers.c",
     "\tc->flags &= ~MR_CONN_PROBING;\n\tarm_retransmit(t, c);\n",
     "\tc->flags &= ~MR_CONN_PROBING;\n"),
    ("probe_timer_forgotten", "tcp/timers.c",
     "\tarm_retransmit_within(t, c, c->snd_wnd ? SWS_OVERRIDE_MS : MR_RTO_MAX_MS);", ""),
    ("delayed_ack_timer_forgotten", "tcp/timers.c",
     "\tif (!c->deadline[MR_DEADLINE_DELACK])\n", "\tif (0)\n"),
    ("keepalive_forgotten", "tcp/timers.c",
     "\tc->received_ms = t->now_ms;\n\tarm_keepalive(t, c);", "\tc->received_ms = t->now_ms;"),
    ("orphan_stays_in_fin_wait_2", "tcp/timers.c",
     "\t\tarm(t, c, MR_DEADLINE_KEEPALIVE, t->config->fin_wait_ms);", "\t\t(void)t;"),
    ("wheel_node_never_moves_forward", "lane/ready.c",
     "mr_wheel_is_armed(c) && !mr_ms_before(when, c->wheel_ms)", "mr_wheel_is_armed(c)"),
    ("rto_below_its_floor", "tcp/rtt.c", "max_u32(MR_RTO_MIN_MS * 1000, c->rttvar_us);",
     "c->rttvar_us;"),
    ("wrong_karn", "tcp/output.c", "\t\tc->flags &= ~MR_CONN_RTT_RUNNING; /* Karn",
     "\t\t; /* Karn"),
    # acknowledgments and sequence numbers
    ("loss_never_seen_by_rack", "tcp/rack.c", "\t\tif (left > 0)\n\t\t\treturn (uint32_t)left;",
     "\t\tif (left > -100000000)\n\t\t\treturn 10000000;"),
    ("duplicate_ack_threshold_never", "tcp/ack.c", "\tif (c->dupacks == MR_DUPACKS &&",
     "\tif (c->dupacks == 200 &&"),
    ("ack_of_unsent_bytes_taken", "tcp/input.c",
     "return mr_seq_lt(c->snd_nxt, seg->ack) || mr_seq_lt(seg->ack, c->snd_una - c->max_snd_wnd);",
     "return mr_seq_lt(seg->ack, c->snd_una - c->max_snd_wnd);"),
    ("paws_ignored", "tcp/input.c",
     "return mr_seq_lt(seg->options.ts_val, c->ts_recent) && !is_ts_recent_outdated(t, c);",
     "return false;"),
    ("timestamps_forgotten", "tcp/output.c", "\tout->options.has_timestamps = true;",
     "\tout->options.has_timestamps = c->state != MR_CLOSE_WAIT;"),
    ("rst_in_window_believed", "tcp/input.c", "\tif (seg->seq != c->rcv_nxt) { /* in the window",
     "\tif (0) { /* in the window"),
    ("syn_in_window_believed", "tcp/input.c",
     "\tif (is_answer_to_both_syns(c, seg))\n\t\treturn STEP_NEXT;\n",
     "\tif (is_answer_to_both_syns(c, seg))\n\t\treturn STEP_NEXT;\n"
     "\tmr_tcp_close_conn(t, c, MR_CLOSE_RESET_BY_PEER);\n\treturn STEP_DONE;\n"),
    ("sequence_numbers_compared_plainly", "tcp/ack.c",
     "\tif (mr_seq_lt(seg->ack, c->snd_una))\n\t\treturn; /* old duplicate",
     "\tif (seg->ack < c->snd_una)\n\t\treturn; /* old duplicate"),
    ("sequence_numbers_compared_as_signed", "tcp/ack.c",
     "\tif (mr_seq_lt(seg->ack, c->snd_una))\n\t\treturn; /* old duplicate",
     "\tif ((int32_t)seg->ack < (int32_t)c->snd_una)\n\t\treturn; /* old duplicate"),
    ("checksum_ignored", "wire/parse.c",
     "\tif (payload_checksum(p, IPPROTO_TCP) != 0)", "\tif (0)"),
    # closing
    ("lost_fin_not_repeated", "tcp/output.c",
     "\tif (c->flags & MR_CONN_FIN_SENT && !c->tx_bytes)\n\t\tsend_fin(t, c);",
     "\t(void)t, (void)c;"),
    ("fin_with_the_first_text", "tcp/output.c",
     "if (r->seq + r->len == mr_tcp_queue_end(c)) { /* MUST-60", "if (1) { /* MUST-60"),
    ("fin_not_counted", "tcp/input.c", "\tc->rcv_nxt++;\n\tc->rcv_wnd -= c->rcv_wnd > 0;",
     "\tc->rcv_wnd -= c->rcv_wnd > 0;"),
    ("close_wait_skipped", "tcp/input.c", "\t\tmr_tcp_set_state(t, c, MR_CLOSE_WAIT);",
     "\t\tmr_tcp_set_state(t, c, MR_LAST_ACK);"),
    ("time_wait_before_our_fin_is_acknowledged", "tcp/input.c",
     "\t\tmr_tcp_set_state(t, c, MR_CLOSING);", "\t\tmr_tcp_set_state(t, c, MR_TIME_WAIT);"),
    ("time_wait_stays", "lane/records.c",
     "if (!dead && !one_for_sure && mr_time_wait_left_ms(&l->tcp, w))",
     "if (!dead && !one_for_sure)"),
    ("end_without_a_reason", "tcp/state.c", "\t\tc->close_reason = (uint8_t)reason;", "\t\t;"),
    ("reset_forgets_received_frames", "tcp/state.c",
     "\tmr_tcp_drop_received(t, c);\n", ""),
    ("reset_forgets_sent_frames", "tcp/state.c", "\tmr_tcp_drop_sent(t, c);\n", ""),
    # text
    ("overlap_cut_wrongly", "tcp/text.c",
     "\tr->seq += cut;\n\tr->offset = (uint16_t)(r->offset + cut);",
     "\tr->seq += cut;"),
    ("double_delivery", "tcp/text.c",
     "\t\t\tr->offset = (uint16_t)(r->offset + n);\n", ""),
    ("overlap_kept", "tcp/gaps.c", "\t\tmr_text_cut_back(r, rec[behind].seq);", "\t\t;"),
    ("run_joined_over_a_gap", "tcp/gaps.c", " || end_of(rec, middle) != rec[next].seq", ""),
    ("out_of_order_frames_leak", "tcp/gaps.c",
     "\tmr_frame_give_list(t->frames, c->ooo_head);\n", ""),
    ("right_edge_moves_back", "tcp/window.c", "\tif (space < c->rcv_wnd + step && (",
     "\tif (space < c->rcv_wnd + step && c->rcv_wnd > 3000 && ("),
    # header prediction
    ("predicted_ack_keeps_the_frame", "tcp/predict.c",
     "\tmr_frame_give(t->frames, c->tx_head);\n", ""),
    ("predicted_ack_is_never_owed", "tcp/text.c",
     "\tif (c->state >= MR_ESTABLISHED && c->rcv_nxt != c->last_ack_sent)\n\t\towe_ack(",
     "\tif (0)\n\t\towe_ack("),
    ("held_text_is_read_as_a_whole", "tcp/text.c", "\tif (n < c->rx_bytes) {", "\tif (0) {"),
    ("held_text_counts_twice", "tcp/text.c", "\tc->rx_bytes = seg->len;", "\tc->rx_bytes += 2u * seg->len;"),
    ("answer_without_a_timer", "tcp/answer.c", "\tmr_timer_answer_sent(t, c, a);\n", ""),
    ("answer_counts_as_unsent", "tcp/answer.c", "\tc->snd_nxt = end;\n", ""),
    ("frame_of_a_usual_ack_leaks", "lane/usual.c",
     "\telse\n\t\tl->recycled[l->n_recycled++] = a->frame;", ""),
    ("copy_to_the_wrong_place", "tcp/text.c",
     "memcpy(mr_frame_payload(t->frames, c->rx_tail) + r->len, text, len);",
     "memcpy(mr_frame_payload(t->frames, c->rx_tail) + r->len, text, len - (len > 5));"),
    ("acknowledged_head_not_moved", "tcp/queue.c",
     "\tr->seq += n;\n\tr->offset = (uint16_t)(r->offset + n);", "\tr->seq += n;"),
    ("split_copies_the_front", "tcp/queue.c", "mr_frame_payload(t->frames, frame) + len, s->len);",
     "mr_frame_payload(t->frames, frame), s->len);"),
    ("frame_written_while_sent", "tcp/output.c", "\tif (r->in_tx)\n", "\tif (0)\n"),
    # lanes
    ("frame_leak_in_dispatch", "lane/demux.c", "\tif (!kept)\n\t\tmr_frame_give",
     "\tif (!kept && a->drop != MR_DROP_TCP_SEQUENCE)\n\t\tmr_frame_give"),
    ("foreign_frames_not_handed_over", "lane/demux.c",
     "if (next == MR_NONE || (mail && mail->kind == MR_MAIL_YOURS))", "if (1)"),
    ("flows_not_counted", "lane/flows.c",
     "\tif (*count < COUNT_FULL)\n", "\tif (0)\n"),
    ("lost_wakeup_of_waiting_writers", "lane/ready.c", "\tif (waited.head == MR_NONE)\n",
     "\tif (1)\n"),
    # opening
    ("cookie_of_later_segments", "tcp/cookies.c", "} in = { *tuple, minute, irs,",
     "} in = { *tuple, minute, 0 * irs,"),
    ("cookie_forgets_the_window_scale", "tcp/cookies.c", "\t\thalf->snd_shift = shift;",
     "\t\thalf->snd_shift = 0;"),
    ("cookie_rounds_the_mss_down", "tcp/cookies.c", "while (i && table[i] > mss)",
     "while (i && table[i] >= mss)"),
    ("cookie_of_another_rule", "tcp/cookies.c", "\thalf.rule = rule;", "\thalf.rule = 0;"),
    ("fast_opens_without_limit", "lane/fast_open.c",
     "if (pending(l) < l->s.config->open.fast_open_pending)", "if (pending(l) < 100000)"),
    ("fast_open_takes_any_cookie", "tcp/fast_open.c", "\tif (is_equal(cookie, o->fast_open))\n", ""),
    ("source_limit_off_by_one", "lane/open.c", "all >= o->source_connections",
     "all > o->source_connections"),
    ("source_stays_counted", "lane/ready.c",
     "\t\tlane_source_sub(l, c->remote, MR_SOURCE_CONNECTIONS);\n", ""),
    ("syn_ack_once_too_often", "lane/open.c", "sends <= l->s.config->open.syn_ack_retries",
     "sends <= l->s.config->open.syn_ack_retries + 1u"),
    # congestion marks and pacing
    ("mark_not_echoed", "tcp/ecn.c", "\t\tc->flags |= MR_CONN_ECE_OWED;\n", ""),
    ("echo_ends_with_unmarked_text", "tcp/ecn.c", "if (seg->flags & MR_CWR) {",
     "if (seg->flags & MR_CWR || seg->ecn != CE) {"),
    ("echo_without_reduction", "tcp/ecn.c", "\t\tout->flags |= MR_CWR;", "\t\t;"),
    ("dctcp_forgets_the_mark_before", "tcp/ecn.c",
     "\t\tmr_tcp_send_ack(t, c);\n"
     "\t\t/* no room for it: the mark is told by the next one, which then acknowledges more */\n"
     "\t\tif (c->flags & MR_CONN_ACK_NOW && c->flags & MR_CONN_ECE_OWED)\n"
     "\t\t\treturn;\n", ""),
    ("mark_counted_twice", "tcp/accurate.c", "\t\tk->received_ce++;\n",
     "\t\tk->received_ce += 2;\n"),
    ("ace_stands_still", "tcp/accurate.c",
     "return (ACE_FIRST + k->received_ce) & ACE_MOST;", "return ACE_FIRST;"),
    ("counter_of_another_field", "tcp/accurate.c",
     "k->received[field - 1] += seg->len;", "k->received[field % 3] += seg->len;"),
    ("ect_on_what_is_sent_again", "tcp/output.c", "if (c->flags & MR_CONN_ECN && !r->sends)",
     "if (c->flags & MR_CONN_ECN)"),
    ("ecn_that_nobody_asked_for", "tcp/ecn.c",
     "may_use(algorithm, ecn) && (syn->flags & ECN_FLAGS) == ECN_FLAGS &&",
     "may_use(algorithm, ecn) &&"),
    ("pacing_ignored", "tcp/rate.c", "\tif (a->pace_credit >= len)\n", "\tif (1)\n"),
    ("pacing_overslept", "tcp/timers.c", "\tif (a && a->pace_ms && (!next ||",
     "\tif (0 && a && (!next ||"),
    # urgent text, time-outs, IP headers
    ("urgent_pointer_to_the_last_byte", "tcp/urgent.c",
     "min_u32(a->snd_up - out->seq, UINT16_MAX)", "min_u32(a->snd_up - out->seq - 1, UINT16_MAX)"),
    ("urgent_counts_the_fin", "tcp/urgent.c", " - !!(c->flags & MR_CONN_FIN_RECEIVED)", ""),
    ("user_timeout_overslept", "tcp/timers.c",
     "return min_u32(ms, waited < limit ? limit - waited : 1);", "return ms;"),
    ("user_timeout_too_early", "tcp/timers.c",
     "limit && c->unacked_ms && t->now_ms - c->unacked_ms >= limit;",
     "limit && c->unacked_ms && t->now_ms - c->unacked_ms >= limit / 2;"),
    ("dscp_forgotten", "tcp/output.c", "out->dscp = t->ip[c->rule].dscp;", "out->dscp = 0;"),
    # faults that there were
    ("window_kept_when_text_overtook_its_ack", "tcp/ack.c", "!(mr_seq_lt(c->snd_wl2, seg->ack) || ",
     "!("),
    ("both_open_times_the_second_syn", "tcp/input.c",
     "\tc->flags &= ~MR_CONN_RTT_RUNNING; /* Karn: the SYN leaves for the second time */\n", ""),
    ("probed_byte_is_timed", "tcp/output.c",
     "\t\tif (!mr_seq_lt(r->seq, c->snd_nxt)) /* no byte of it left in a probe */\n", ""),
]]


def sources():
    for folder in ("wire", "frame", "tcp", "tlv", "port", "attach", "lane", "apps"):
        path = os.path.join(ROOT, "user", folder)
        for name in sorted(os.listdir(path)):
            if name.endswith(".c"):
                yield "%s/%s" % (folder, name)


def objects(without):
    """The simulator's objects, but for one source of user/."""
    names = ["user/" + name for name in sources() if name != without]
    names += ["tests/sim/" + name for name in sorted(os.listdir(os.path.join(ROOT, "tests/sim")))
              if name.endswith(".c") and not name.endswith("_test.c")]
    return [os.path.join(BUILD, "simobj", name[:-2] + ".o") for name in names]


def mutate(mutant):
    """The changed text, or why there is none."""
    with open(os.path.join(ROOT, "user", mutant.file), encoding="utf-8") as source:
        text = source.read()
    n = text.count(mutant.old)
    if n != 1:
        return None, "its old text stands %d times in user/%s: bring the mutant up to date" % (
            n, mutant.file)
    return text.replace(mutant.old, mutant.new), None


def run(command, seconds):
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=seconds, check=False)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return 124, ""


def compile_and_link(mutant, text, folder):
    source = os.path.join(folder, "mutant.c")
    program = os.path.join(folder, "mr-sim")
    with open(source, "w", encoding="utf-8") as out:
        out.write(text)
    compiler = os.environ.get("CC", "gcc")
    status, said = run([compiler, "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-w",
                        "-fno-strict-aliasing", "-Iinclude", "-I.", "-c", source, "-o", source[:-2] + ".o"], 120)
    if status == 0:
        status, said = run([compiler, "-fsanitize=undefined", "-Wl,--wrap=mr_tcp_set_state",
                            "-Wl,--wrap=mr_rtt_sample", "-o", program, source[:-2] + ".o"] +
                           objects(mutant.file), 120)
    return (program, None) if status == 0 else (None, said)


def try_mutant(mutant, jobs=1):
    """(found?, words): the first law that failed, or what is wrong."""
    text, problem = mutate(mutant)
    if problem:
        return False, problem
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mr-mutant-") as folder:
        program, problem = compile_and_link(mutant, text, folder)
        if problem:
            return False, "does not build: " + problem
        status, said = run([program, "-n", str(SEEDS), "-j", str(jobs), "-m", "1"], SECONDS)
    took = time.monotonic() - start
    if status == 0:
        return False, "%d seeds did not find it" % SEEDS
    if status == 124:
        return False, "not found in %d s" % SECONDS
    words = [line for line in said.splitlines() if line.startswith("sim: seed")]
    return bool(words), "%s (%.1f s)" % (words[0] if words else said[-500:], took)


def main():
    chosen = [m for m in MUTANTS if len(sys.argv) < 2 or any(w in m.name for w in sys.argv[1:])]
    missed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for mutant, (found, words) in zip(chosen, pool.map(try_mutant, chosen)):
            print("%-8s %-42s %s" % ("found" if found else "MISSED", mutant.name, words),
                  flush=True)
            missed += not found
    print("sim-mutants: %s mutants=%d found=%d" % ("ok" if not missed else "failed", len(chosen),
                                                   len(chosen) - missed))
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
