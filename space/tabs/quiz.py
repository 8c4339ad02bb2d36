"""The tab with the quiz."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from components.view import INTERNAL, RunBar, explain_failure, figures, note, title
from generator.model import Model
from generator.sampling import Sampler
from results.export import to_data_uri

from tabs.quiz_rounds import ROUNDS, chance_of, make_round

NAMES = ("A", "B")
START, NEXT = "Start the quiz", "Next pair"


class QuizTab:
    """Builds the tab and connects it. The right answer stays on the server until the visitor answers."""

    def __init__(self, model: Model, sample: Sampler, photographs: list[Path]) -> None:
        """Adds the tab to the page."""
        self._model, self._sample, self._photographs = model, sample, photographs
        if photographs:
            about = "One image of each pair is a photograph of a real eye, the other was generated."
            self._question = "Which one is the photograph?"
        else:
            about = (
                "This Space has no real photographs, so both images of each pair are synthetic: one with the default "
                "number of steps, the other with too few."
            )
            self._question = "Which one was generated with the default number of steps?"
        gr.HTML(title("Real or synthetic?", f"{about} {ROUNDS} pairs."))
        self.state = gr.State({})
        self.bar = RunBar(START, "quiz")
        self.pair = gr.HTML(elem_id="quiz-pair")
        with gr.Row(elem_classes="answers"):
            self.answers = [gr.Button(name, interactive=False, elem_id=f"quiz-{name}") for name in NAMES]
        self.bar.connect(self._ask, [self.state], [self.state, self.pair, *self.answers], {})
        for button in self.answers:
            button.click(
                self._judge,
                [self.state, button],
                [self.state, self.bar.status, self.bar.start, *self.answers],
                queue=False,
                show_progress="hidden",
                **INTERNAL,
            )

    def _ask(self, state: dict[str, Any]) -> Iterator[tuple]:
        """Yields status, state, the pair, and the two answers."""
        asked, right = state.get("asked", 0), state.get("right", 0)
        if asked == ROUNDS:
            asked = right = 0
        yield note(f"Generating pair {asked + 1} of {ROUNDS} ..."), gr.skip(), "", *_buttons(False)
        try:
            question = make_round(self._model, self._sample, self._photographs, random.Random())
        except Exception as error:  # any error of model or photograph; the page keeps working
            yield explain_failure(error), gr.skip(), "", *_buttons(False)
            return
        sources = [to_data_uri(picture) for picture in question.pictures]
        state = {"asked": asked, "right": right, "answer": NAMES[question.answer], "truth": question.truth}
        pair = figures(list(zip(sources, NAMES, strict=True)))
        yield note(f"Pair {asked + 1} of {ROUNDS}. {self._question}"), state, pair, *_buttons(True)

    def _judge(self, state: dict[str, Any], choice: str) -> tuple:
        """Shows the answer and the score, and offers the next pair."""
        if "answer" not in state:
            return (gr.skip(),) * 5
        hit = choice == state["answer"]
        asked, right = state["asked"] + 1, state["right"] + hit
        text = f"{'Right' if hit else 'No'}: it is {state['answer']}. {state['truth']} {right} of {asked} right."
        if asked == ROUNDS:
            text += f" Random guessing scores at least as well in {chance_of(right, asked):.0%} of quizzes."
        follow = "Play again" if asked == ROUNDS else NEXT
        return {"asked": asked, "right": right}, note(text), gr.Button(follow), *_buttons(False)


def _buttons(interactive: bool) -> tuple[gr.Button, gr.Button]:
    return gr.Button(interactive=interactive), gr.Button(interactive=interactive)
