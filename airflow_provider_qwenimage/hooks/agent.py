"""The hook for agents: a few methods whose arguments and results are plain JSON, within bounds their author sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_qwenimage.defaults import CONN_ID
from airflow_provider_qwenimage.exceptions import InvalidRequest, QwenImageError
from airflow_provider_qwenimage.hooks.qwenimage import QwenImageHook

if TYPE_CHECKING:
    from airflow_provider_qwenimage.gateway.account.money import Wallet
    from airflow_provider_qwenimage.models.requests import Request
    from airflow_provider_qwenimage.models.results import Generation, Job


class QwenImageAgentHook(QwenImageHook):
    """
    Tools of an agent, for ``HookToolset`` of apache-airflow-providers-common-ai (docs/agents.md).

    What is refused with nothing billed is told to the model, which may do it better. What may have been billed ends
    the task: a model that tries again would pay again.

    :param qwenimage_conn_id: the gateway connection; its model, limits and budget hold.
    :param max_images: how many images all calls together may ask for.
    :param max_cost: what all calls together may cost, in the currency of the connection's prices.
    """

    def __init__(
        self,
        qwenimage_conn_id: str = CONN_ID,
        *,
        max_images: int = 4,
        max_cost: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(qwenimage_conn_id, **kwargs)
        self.max_images = max_images
        self.max_cost = max_cost
        # A toolset copies its hook for each task; what is spent is spent, whichever copy did it.
        self._asked: list[int] = []
        self._wallets: list[Wallet] = []

    def draw_images(
        self,
        prompt: str,
        size: str | None = None,
        n: int = 1,
        negative_prompt: str | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """
        Draw images from a text and return their links. Every image costs money: ask for as few as are needed.

        :param prompt: what the images show, in full sentences.
        :param size: the ratio, such as "16:9", "1:1" or "9:16"; the model's own where omitted.
        :param n: how many images.
        :param negative_prompt: what the images must not show.
        :param seed: a number from 0 to 2147483647; the same one gives the like image again.
        """
        fields = {"prompt": prompt, "size": size, "n": n, "negative_prompt": negative_prompt, "seed": seed}
        return self._told("generate", fields)

    def edit_images(
        self, prompt: str, images: list[str], size: str | None = None, n: int = 1, seed: int | None = None
    ) -> dict[str, Any]:
        """
        Edit images that are given by their links and return the links of the results. Every image costs money.

        :param prompt: what to change; it counts the images from 1 ("the mug of image 1 on the table of image 2").
        :param images: one to nine http(s) links, such as those that draw_images returned.
        :param size: the ratio, such as "16:9"; that of the last image where omitted.
        :param n: how many images.
        :param seed: a number from 0 to 2147483647; the same one gives the like image again.
        """
        return self._told("edit", {"prompt": prompt, "images": images, "size": size, "n": n, "seed": seed})

    def submit(self, request: Request) -> Generation | Job:
        """Check and send a request within the bounds of this hook."""
        from airflow_provider_qwenimage.gateway.calls import turn_of

        planned = self.plan(request)
        turn = turn_of(self.settings, planned, wallet=self._wallet())
        self._count(planned.request.n)
        try:
            return self.send(planned, turn=turn)
        except QwenImageError as error:
            if not error.may_be_billed:
                self._asked.pop()
            raise

    def _told(self, operation: Any, fields: dict[str, Any]) -> dict[str, Any]:
        """Return what came of a request as plain JSON, or why it was refused."""
        try:
            generation = self.wait(self.submit(self.request(operation, fields)))
        except QwenImageError as error:
            if error.may_be_billed or not error.final:
                raise
            return {"refused": str(error)}
        finally:
            self.close()  # nobody tells a toolset's hook that its agent is done
        usage = generation.usage
        return {
            "images": list(generation.urls),
            "failures": [failure.reason for failure in generation.failures],
            "cost": usage.cost if usage else None,
            "currency": usage.currency if usage else None,
        }

    def _count(self, images: int) -> None:
        left = self.max_images - sum(self._asked)
        if images > left:
            raise InvalidRequest(
                "n", f"{images} is more than the {left} images that are left of {self.max_images}"
            )
        self._asked.append(images)

    def _wallet(self) -> Wallet | None:
        """Return what all calls pay from; made with the first, which knows the currency."""
        if self.max_cost is not None and not self._wallets:
            from airflow_provider_qwenimage.gateway.account.money import Wallet

            self._wallets.append(Wallet(self.max_cost, self.settings.currency))
        return self._wallets[0] if self._wallets else None
