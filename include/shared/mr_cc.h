/* SPDX-License-Identifier: MIT */
/*
 * The names of congestion control and of the ECN settings: configuration, control API and TCP read
 * the same tables. The first line of each is the default, and what a zeroed record means.
 */
#ifndef MR_CC_NAMES_H
#define MR_CC_NAMES_H

/* Algorithms: the index stands in mr_conn.cc. Append only. */
#define MR_CC_ALGORITHMS(A)                                                                        \
	A(CUBIC, cubic)                                                                            \
	A(NEWRENO, newreno)                                                                        \
	A(DCTCP, dctcp)                                                                            \
	A(BBR, bbr)

/*
 * RFC 3168: off: never; passive: when the peer asks; on: active opens ask too. RFC 9768: accurate:
 * asks for accurate feedback; accurate_on, accurate_passive: agrees to it, and asks as those words
 * say. Append only.
 */
#define MR_ECN_MODES(E)                                                                            \
	E(PASSIVE, passive)                                                                        \
	E(OFF, off)                                                                                \
	E(ON, on)                                                                                  \
	E(ACCURATE, accurate)                                                                      \
	E(ACCURATE_ON, accurate_on)                                                                \
	E(ACCURATE_PASSIVE, accurate_passive)

enum mr_cc_algorithm {
#define A(name, word) MR_CC_##name,
	MR_CC_ALGORITHMS(A)
#undef A
		MR_CC_COUNT
};

enum mr_ecn_mode {
#define E(name, word) MR_ECN_##name,
	MR_ECN_MODES(E)
#undef E
		MR_ECN_COUNT
};

/** mr_cc_names() - words of enum mr_cc_algorithm, NULL at the end */
static inline const char *const *mr_cc_names(void)
{
	static const char *const names[] = {
#define A(name, word) #word,
		MR_CC_ALGORITHMS(A)
#undef A
			0
	};

	return names;
}

/** mr_ecn_names() - words of enum mr_ecn_mode, NULL at the end */
static inline const char *const *mr_ecn_names(void)
{
	static const char *const names[] = {
#define E(name, word) #word,
		MR_ECN_MODES(E)
#undef E
			0
	};

	return names;
}

#endif
