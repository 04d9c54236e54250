"""CogVideoX with random weights, small enough to make, save, load and run in seconds: same classes, same files."""

from __future__ import annotations

from pathlib import Path

import torch

from pw_core.refine.targets.cogvideo import usable_torchvision

TEXT = "a red square moves over the table while dough is pressed flat by the rolling pin and jam spreads"


def save_tokenizer(folder: Path) -> None:
    """As published: a SentencePiece model and nothing that is made from it."""
    import sentencepiece

    folder.mkdir(parents=True)
    text = folder / "text.txt"
    words = TEXT.split()
    text.write_text("\n".join(" ".join(words[i:] + words[:i]) for i in range(len(words))))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "spiece"), vocab_size=60, model_type="unigram", pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    text.unlink()
    (folder / "spiece.vocab").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}')


def save_pipeline(folder: Path, *, seed: int = 0) -> Path:
    """A whole model folder: transformer, VAE, T5 encoder, tokenizer, scheduler (that of CogVideoX-5B)."""
    with usable_torchvision():
        from diffusers import (
            AutoencoderKLCogVideoX,
            CogVideoXDDIMScheduler,
            CogVideoXImageToVideoPipeline,
            CogVideoXTransformer3DModel,
        )
        from transformers import T5Config, T5EncoderModel, T5Tokenizer

        torch.manual_seed(seed)
        transformer = CogVideoXTransformer3DModel(
            num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=8,
            text_embed_dim=16, num_layers=1, sample_width=8, sample_height=4, sample_frames=9, patch_size=2,
            temporal_compression_ratio=4, max_text_seq_length=226, use_rotary_positional_embeddings=True,
            use_learned_positional_embeddings=False,
        )  # fmt: skip
        blocks = ("CogVideoXDownBlock3D",) * 4, ("CogVideoXUpBlock3D",) * 4
        vae = AutoencoderKLCogVideoX(
            in_channels=3, out_channels=3, down_block_types=blocks[0], up_block_types=blocks[1],
            block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
            temporal_compression_ratio=4, sample_height=96, sample_width=160, scaling_factor=0.7,
        )  # fmt: skip
        text = T5EncoderModel(
            T5Config(vocab_size=128, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0)
        )
        save_tokenizer(folder / "words")
        tokenizer = T5Tokenizer.from_pretrained(folder / "words")
        scheduler = CogVideoXDDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="v_prediction",
            rescale_betas_zero_snr=True, snr_shift_scale=1.0, timestep_spacing="trailing", set_alpha_to_one=True,
            clip_sample=False,
        )  # fmt: skip
        pipe = CogVideoXImageToVideoPipeline(
            tokenizer=tokenizer, text_encoder=text.eval(), vae=vae.eval(), transformer=transformer.eval(),
            scheduler=scheduler,
        )  # fmt: skip
        pipe.save_pretrained(folder / "model", safe_serialization=True)
    # The published folder has the SentencePiece model alone.
    tokens = folder / "model" / "tokenizer"
    (tokens / "tokenizer.json").unlink(missing_ok=True)
    (tokens / "spiece.model").write_bytes((folder / "words" / "spiece.model").read_bytes())
    return folder / "model"


def save_lora(path: Path, *, rank: int = 2, seed: int = 1) -> Path:
    """A LoRA of the tiny transformer's attention, in the names of diffusers."""
    from safetensors.torch import save_file

    g = torch.Generator().manual_seed(seed)
    weights = {}
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        name = f"transformer.transformer_blocks.0.attn1.{part}"
        weights[f"{name}.lora_A.weight"] = torch.randn(rank, 32, generator=g)
        weights[f"{name}.lora_B.weight"] = torch.randn(32, rank, generator=g)
    save_file(weights, path)
    return path
