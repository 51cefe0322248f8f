"""Notebook 07: solutions that students write, wrong and right."""

import math

import numpy as np
import torch

from exercises import right, wrong

# read_prompt -------------------------------------------------------------------------------------------------------


@wrong("read_prompt", "with `[c != '_' for c in prompt]` in place of `[c == '_' for c in prompt]`")
def prompt_marks_given(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    prompt = prompt + "_" * (length - len(prompt))
    x = [characters.index(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor(x), torch.tensor([c != "_" for c in prompt])


@wrong("read_prompt", "You return the two results in the wrong order")
def prompt_swapped(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    prompt = prompt + "_" * (length - len(prompt))
    x = [characters.index(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor([c == "_" for c in prompt]), torch.tensor(x)


@wrong("read_prompt", "without the line `prompt = prompt.ljust(length, '_')`")
def prompt_short(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    x, free = [], []
    for c in prompt:
        free.append(c == "_")
        x.append(len(characters) if c == "_" else characters.index(c))
    return torch.tensor(x, dtype=torch.int64), torch.tensor(free, dtype=torch.bool)


@wrong("read_prompt", "with `prompt.rjust(length, '_')` in place of `prompt.ljust(length, '_')`")
def prompt_at_the_end(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    prompt = prompt.rjust(length, "_")
    x = [characters.index(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@wrong("read_prompt", "You put another state at free positions")
def prompt_zero(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    x, free = torch.zeros(length, dtype=torch.int64), torch.ones(length, dtype=torch.bool)
    for i, c in enumerate(prompt):
        if c != "_":
            x[i], free[i] = characters.index(c), False
    return x, free


@wrong("read_prompt", "You put another state at free positions")
def prompt_last_character(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    x, free = torch.full((length,), len(characters) - 1), torch.ones(length, dtype=torch.bool)
    for i, c in enumerate(prompt):
        if c != "_":
            x[i], free[i] = characters.index(c), False
    return x, free


@wrong("read_prompt", "Your function should raise ValueError, but it returned a tuple of length 2")
def prompt_finds(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    prompt = prompt.ljust(length, "_")
    x = [characters.find(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@wrong("read_prompt", "KeyError")
def prompt_in_a_dictionary(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    number = {c: i for i, c in enumerate(characters)}
    number["_"] = len(number)
    prompt = prompt.ljust(length, "_")
    return torch.tensor([number[c] for c in prompt]), torch.tensor([c == "_" for c in prompt])


@wrong("read_prompt", "Your function should raise ValueError, but it returned a tuple of length 2")
def prompt_cut(prompt, length, characters):
    prompt = prompt[:length] + "_" * (length - len(prompt))
    x = [characters.index(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@wrong("read_prompt", "Your function should raise ValueError, but it returned a tuple of length 2")
def prompt_too_long(prompt, length, characters):
    prompt = prompt + "_" * (length - len(prompt))
    x = [characters.index(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@wrong("read_prompt")
def prompt_states_only(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    prompt = prompt.ljust(length, "_")
    return torch.tensor([characters.index(c) if c != "_" else len(characters) for c in prompt])


@wrong("read_prompt", "ValueError: substring not found")
def prompt_padded_with_spaces(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError("too long")
    prompt = prompt.ljust(length)
    x = [characters.index(c) if c != "_" else len(characters) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@right("read_prompt")
def prompt_in_lists(prompt, length, characters):
    if len(prompt) > length or set(prompt) - set(characters) - {"_"}:
        raise ValueError("too long, or unknown")
    states = (characters + "_").index
    x = [states(c) for c in prompt] + [len(characters)] * (length - len(prompt))
    return torch.tensor(x), torch.tensor([state == len(characters) for state in x])


@right("read_prompt")
def prompt_in_numpy(prompt, length, characters):
    x = np.full(length, len(characters))
    if len(prompt) > length:
        raise ValueError("too long")
    for i, c in enumerate(prompt):
        if c != "_":
            x[i] = characters.index(c)
    return torch.from_numpy(x), torch.from_numpy(x == len(characters))


# project -----------------------------------------------------------------------------------------------------------


@wrong("project", "You swapped the two")
def project_inverted(x, prompt, free):
    return torch.where(free, prompt, x)


@wrong("project", "with `return x`")
def project_not_at_all(x, prompt, free):
    x = x.clone()
    for text in x:
        text = torch.where(free, text, prompt)
    return x


@wrong("project", "return the prompt alone")
def project_prompt_only(x, prompt, free):
    return torch.stack([prompt] * len(x))


@wrong("project", "first text only. Put")
def project_first(x, prompt, free):
    y = x.clone()
    y[0, ~free] = prompt[~free]
    return y


@wrong("project", "The shape should be (2, 2); yours is (2,)")
def project_one(x, prompt, free):
    y = x[0].clone()
    y[~free] = prompt[~free]
    return y


@wrong("project", "Your wrong numbers are all 0")
def project_product(x, prompt, free):
    return (prompt * ~free).repeat(len(x), 1)


@wrong("project")
def project_in_place(x, prompt, free):
    x[:, ~free] = prompt[~free]
    return x


@wrong("project")
def project_truth_values(x, prompt, free):
    return x.bool() & free | prompt.bool() & ~free


@wrong("project", "You add the prompt")
def project_adds(x, prompt, free):
    return x + prompt * ~free


@right("project")
def project_in_loops(x, prompt, free):
    return torch.tensor([[int(text[i] if free[i] else prompt[i]) for i in range(len(free))] for text in x])


@right("project")
def project_on_a_copy(x, prompt, free):
    y = x.clone()
    y[:, ~free] = prompt[~free]
    return y


@wrong("project")
def prompt_at_the_beginning(x, prompt, free):
    y, given = x.clone(), prompt[~free]
    y[:, : len(given)] = given
    return y


@right("project")
def project_with_products(x, prompt, free):
    return x * free + prompt * (~free)


# exact_conditional -------------------------------------------------------------------------------------------------


@wrong("exact_conditional", "with `log_score[i, :]` in place of `log_score[i, :-1]`")
def one_gap_with_the_mask(log_score, i):
    s = log_score[i].exp()
    return s / s.sum()


@wrong("exact_conditional", "The right result is yours divided by its sum")
def one_gap_mask_in_the_sum(log_score, i):
    s = log_score[i].exp()
    return s[:-1] / s.sum()


@wrong("exact_conditional", "The right result is yours divided by its sum")
def one_gap_ratios(log_score, i):
    return torch.exp(log_score[i])[:-1]


@wrong("exact_conditional", "Your result is the logarithm of the right one")
def one_gap_in_logs(log_score, i):
    row = log_score[i, :-1]
    return row - torch.logsumexp(row, 0)


@wrong("exact_conditional", "leave out the first")
def one_gap_drops_the_first(log_score, i):
    s = log_score[i, 1:].exp()
    return s / s.sum()


@wrong("exact_conditional", "The right result is yours divided by its sum")
def one_gap_of_all(log_score, i):
    s = log_score[:, :-1].exp()
    return s[i] / s.sum()


@wrong("exact_conditional", "You divide log-scores by their sum")
def one_gap_of_logs(log_score, i):
    s = log_score[i, :-1]
    return s / s.sum()


@wrong("exact_conditional")
def one_gap_of_a_column(log_score, i):
    return log_score[:, i].softmax(0)


@wrong("exact_conditional", "with `log_score.exp()` in place of `log_score`")
def one_gap_twice(log_score, i):
    return log_score[i, :-1].exp().softmax(0)


@wrong("exact_conditional", "with `log_score[i - 1, :-1]` in place of `log_score[i, :-1]`")
def one_gap_previous_row(log_score, i):
    return log_score[i - 1, :-1].softmax(0)


@right("exact_conditional")
def one_gap_in_numpy(log_score, i):
    s = np.exp(log_score.numpy()[i, :-1])
    return torch.tensor((s / s.sum()).astype("float32"))


@right("exact_conditional")
def one_gap_in_lists(log_score, i):
    row = log_score.tolist()[i][:-1]
    s = [math.exp(v) for v in row]
    return torch.tensor([v / sum(s) for v in s])


# fill_probability --------------------------------------------------------------------------------------------------


@wrong("fill_probability", "without the line `x[i] = goal[i]`")
def fill_at_once(denoiser, x, goal, mask):
    p, total = denoiser(x), 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            total *= p[i, goal[i]]
    return total


@wrong("fill_probability", "write a character before you ask")
def fill_then_ask(denoiser, x, goal, mask):
    x, total = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            x[i] = goal[i]
            total *= denoiser(x)[i, goal[i]].item()
    return total


@wrong("fill_probability", "No right number is above 1, but some of yours are: 1.285, for example")
def fill_adds(denoiser, x, goal, mask):
    x, total = x.clone(), 0.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            total += denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return total


@wrong("fill_probability", "logarithm of the right one")
def fill_in_logs(denoiser, x, goal, mask):
    x, total = x.clone(), torch.zeros((), dtype=torch.float64)
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            total += denoiser(x)[i, goal[i]].log()
            x[i] = goal[i]
    return total


@wrong("fill_probability", "stop after the first")
def fill_returns_early(denoiser, x, goal, mask):
    x = x.clone()
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            return denoiser(x)[i, goal[i]].item()
    return 1.0


@wrong("fill_probability", "with `p = float(denoiser(x)[i, goal[i]])` in place of `p *= float(denoiser(x)[i,")
def fill_forgets(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p = denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return p


@wrong("fill_probability", "You fill in the most probable character, not the goal's")
def fill_greedy(denoiser, x, goal, mask):
    x, total = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p = denoiser(x)[i]
            total *= p[goal[i]].item()
            x[i] = p.argmax()
    return total


@wrong("fill_probability", "out of bounds")
def fill_asks_for_masks(denoiser, x, goal, mask):
    x, total = x.clone(), 1.0
    for i in (x == mask).nonzero().flatten():
        total *= denoiser(x)[i, goal[i]].item()
        x[i] = goal[i]
    return total


@wrong("fill_probability", "out of bounds")
def fill_wherever_they_differ(denoiser, x, goal, mask):
    x, total = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] != goal[i]:
            total *= denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return total


@wrong("fill_probability", "with `0.0` in place of `1.0`")
def fill_from_zero(denoiser, x, goal, mask):
    x, total = x.clone(), 0.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            total = total * denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return total


@wrong("fill_probability")
def fill_in_place(denoiser, x, goal, mask):
    total = 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            total *= denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return total


@wrong("fill_probability")
def fill_on_average(denoiser, x, goal, mask):
    x, factors = x.clone(), []
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            factors.append(denoiser(x)[i, goal[i]].item())
            x[i] = goal[i]
    return sum(factors) / max(len(factors), 1)


@right("fill_probability")
def fill_backwards(denoiser, x, goal, mask):
    x, total = x.clone(), torch.tensor(1.0)
    for i in range(len(x) - 1, -1, -1):
        if x[i] == mask and goal[i] != mask:
            total = total * denoiser(x)[i, goal[i]]
            x[i] = goal[i]
    return total


@right("fill_probability")
def fill_by_recursion(denoiser, x, goal, mask):
    places = [i for i in range(len(x)) if x[i] == mask and goal[i] != mask]
    if not places:
        return 1
    y = x.clone()
    y[places[0]] = goal[places[0]]
    return denoiser(x)[places[0]][goal[places[0]]].item() * fill_by_recursion(denoiser, y, goal, mask)


@right("fill_probability")
def fill_in_lists(denoiser, x, goal, mask):
    x, goal, logs = x.tolist(), goal.tolist(), 0.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p = float(denoiser(np.array(x))[i][goal[i]])
            if p == 0:
                return 0.0
            logs, x[i] = logs + math.log(p), goal[i]
    return math.exp(logs)


# slide -------------------------------------------------------------------------------------------------------------


@wrong("slide", "keep the beginning")
def slide_keeps_the_beginning(text, keep, length, mask):
    kept = text[:keep]
    x = torch.cat([kept, torch.full((length - len(kept),), mask)])
    return x, torch.tensor([i >= len(kept) for i in range(length)])


@wrong("slide", "not always text[-keep:]")
def slide_minus_zero(text, keep, length, mask):
    x = torch.full((length,), mask)
    x[:keep] = text[-keep:]
    free = torch.ones(length, dtype=torch.bool)
    free[:keep] = False
    return x, free


@wrong("slide", "not always text[-keep:]")
def slide_joined(text, keep, length, mask):
    x = torch.cat([text[-keep:], torch.full((length - keep,), mask)])
    free = torch.ones(length, dtype=torch.bool)
    free[:keep] = False
    return x, free


@wrong("slide", "with `torch.arange(length) < min(keep, len(text))` in place of `torch.arange(length)")
def slide_marks_given(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:kept] = text[len(text) - kept :]
    given = torch.zeros(length, dtype=torch.bool)
    given[:kept] = True
    return x, given


@wrong("slide", "at the end of the window")
def slide_right_aligned(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    x[length - kept :] = text[len(text) - kept :]
    return x, torch.arange(length) < length - kept


@wrong("slide", "with `kept` in place of `length`")
def slide_without_masks(text, keep, length, mask):
    kept = text[max(len(text) - keep, 0) :]
    return kept, torch.zeros(len(kept), dtype=torch.bool)


@wrong("slide", "You keep `length` - `keep` characters")
def slide_writes_keep(text, keep, length, mask):
    kept = min(length - keep, len(text))
    x = torch.full((length,), mask)
    x[:kept] = text[len(text) - kept :]
    return x, torch.arange(length) >= kept


@wrong("slide", "with `torch.arange(length) >= keep` in place of `torch.arange(length) >= min(keep,")
def slide_marks_masks_as_given(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:kept] = text[len(text) - kept :]
    free = torch.ones(length, dtype=torch.bool)
    free[:keep] = False
    return x, free


@wrong("slide", "RuntimeError: The expanded size of the tensor (2) must match the existing size (0)")
def slide_not_enough(text, keep, length, mask):
    x = torch.full((length,), mask)
    x[:keep] = text[len(text) - keep :]
    free = torch.ones(length, dtype=torch.bool)
    free[:keep] = False
    return x, free


@wrong("slide", "RuntimeError: The expanded size of the tensor (2) must match the existing size (0)")
def slide_keep_for_kept_on_the_left(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:keep] = text[len(text) - kept :]
    return x, torch.arange(length) >= kept


@wrong("slide", "use that number everywhere")
def slide_keep_for_kept_on_the_right(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:kept] = text[len(text) - keep :]
    return x, torch.arange(length) >= kept


@wrong("slide")
def slide_window_only(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:kept] = text[len(text) - kept :]
    return x


@wrong("slide", "reverse order")
def slide_backwards(text, keep, length, mask):
    kept = min(keep, len(text))
    x = torch.full((length,), mask)
    for k in range(kept):
        x[k] = text[len(text) - 1 - k]
    return x, torch.arange(length) >= kept


@right("slide")
def slide_in_lists(text, keep, length, mask):
    kept = text.tolist()[max(len(text) - keep, 0) :]
    new = length - len(kept)
    return torch.tensor(kept + [mask] * new), torch.tensor([False] * len(kept) + [True] * new)


@right("slide")
def slide_by_padding(text, keep, length, mask):
    kept = text[-keep:] if keep else text[:0]
    x = torch.nn.functional.pad(kept, (0, length - len(kept)), value=mask)
    return x, torch.from_numpy(np.arange(length) >= len(kept))


# Answers of other kinds ---------------------------------------------------------------------------------------------


@wrong("read_prompt", "booleans")
def prompt_free_as_integers(prompt, length, characters):
    x, free = prompt_in_lists(prompt, length, characters)
    return x, free.long()


@wrong("read_prompt", "Return a tensor")
def prompt_as_lists(prompt, length, characters):
    x, free = prompt_in_lists(prompt, length, characters)
    return x.tolist(), free.tolist()


@wrong("read_prompt", "remove spaces")
def prompt_stripped(prompt, length, characters):
    return prompt_in_lists(prompt.strip(), length, characters)


@wrong("read_prompt", "sort the alphabet")
def prompt_of_sorted_characters(prompt, length, characters):
    return prompt_in_lists(prompt, length, "".join(sorted(characters)))


@wrong("read_prompt", "upper-case letters")
def prompt_in_lower_case(prompt, length, characters):
    return prompt_in_lists(prompt.lower(), length, characters)


@wrong("exact_conditional", "Return a tensor")
def one_gap_as_a_list(log_score, i):
    return one_gap_in_lists(log_score, i).tolist()


@wrong("fill_probability", "without the condition `x[i] == mask`")
def fill_all_positions(denoiser, x, goal, mask):
    x, total = x.clone(), 1.0
    for i in range(len(x)):
        if goal[i] != mask:
            total *= denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return total


@wrong("fill_probability", "with `denoiser(goal)` in place of `denoiser(x)`")
def fill_after_the_fact(denoiser, x, goal, mask):
    gaps = ((x == mask) & (goal != mask)).nonzero().flatten()
    return denoiser(torch.where(x == mask, goal, x))[gaps, goal[gaps]].prod()


@wrong("slide", "booleans")
def slide_free_as_integers(text, keep, length, mask):
    x, free = slide_by_padding(text, keep, length, mask)
    return x, free.int()


@wrong("fill_probability", "wrong numbers are all 0")
def fill_with_0_if_the_goal_differs(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if mask != goal[i] != x[i] != mask:
            return 0.0
        if x[i] == mask != goal[i]:
            p *= denoiser(x)[i, goal[i]].item()
            x[i] = goal[i]
    return p


@wrong("fill_probability", "You write the goal over visible characters")
def fill_after_copying_the_goal(denoiser, x, goal, mask):
    gaps = ((x == mask) & (goal != mask)).nonzero().flatten().tolist()
    x, p = torch.where((x != mask) & (goal != mask), goal, x), 1.0
    for i in gaps:
        p *= denoiser(x)[i, goal[i]].item()
        x[i] = goal[i]
    return p
